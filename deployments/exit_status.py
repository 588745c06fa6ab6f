"""The exit statuses of the commands of dcp."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit statuses of every command; the help of each says what the first three mean there."""

    OK = 0
    """The command did what it was for, and found nothing wrong."""
    PROBLEM = 1
    """The command failed, or found what it looks for: failed jobs, orphans, errors."""
    BAD_INPUT = 2
    """An option, file or name is wrong, or AWS refuses the credentials."""
    DEFECT = 70
    """dcp itself is wrong: a traceback says where (EX_SOFTWARE of sysexits.h)."""
    NO_OUTPUT = 74
    """The output could not be written, or nobody reads it any more (EX_IOERR)."""
