"""How a command of dcp ends: its exit status, and its errors as messages on stderr."""

import functools
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import ParamSpec

P = ParamSpec("P")


class ExitStatus(IntEnum):
    """The exit statuses of every command; the help of each says what they mean there."""

    OK = 0
    """The command did what it was for, and found nothing wrong."""
    PROBLEM = 1
    """The command failed, or found what it looks for: failed jobs, orphans, errors."""
    BAD_INPUT = 2
    """An option, file or name is wrong, or AWS refuses the credentials."""


def reporting_errors(command: Callable[P, int]) -> Callable[P, int]:
    """Decorate what runs a command: its errors become a message and an exit status.

    Only errors that are written for people are caught; any other is a defect, and keeps its
    traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            return ExitStatus.PROBLEM
        except Exception as error:
            # Imported here: a command that succeeds must not wait for what errors alone need.
            from blocks.errors import DcpError, InputError

            if isinstance(error, DcpError):
                print(error, file=sys.stderr)
                return ExitStatus.BAD_INPUT if isinstance(error, InputError) else ExitStatus.PROBLEM
            if "botocore" in sys.modules:
                from tasks.aws import AwsError

                if isinstance(error, AwsError):
                    print(f"Could not call AWS: {error}", file=sys.stderr)
                    return ExitStatus.BAD_INPUT
            raise

    return run
