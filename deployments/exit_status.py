"""The exit statuses of dcp's commands."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit statuses of every command; its help explains the first three."""

    OK = 0
    """The command succeeded and found no problem."""
    PROBLEM = 1
    """The command failed, or found problems: failed jobs, orphans, errors."""
    BAD_INPUT = 2
    """An option, file or name is wrong, or AWS refuses the credentials."""
    DEFECT = 70
    """dcp has a defect: a traceback shows where (EX_SOFTWARE of sysexits.h)."""
    NO_OUTPUT = 74
    """The output could not be written, or its reader has gone (EX_IOERR)."""
