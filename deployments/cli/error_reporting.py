"""How a command of dcp ends: its errors as messages on stderr."""

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

from deployments.exit_status import ExitStatus

P = ParamSpec("P")


UNWRITTEN = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What stands in the way of output: no reader, no space, no disk."""


def reporting_errors(command: Callable[P, int]) -> Callable[P, int]:
    """Decorate what runs a command: its errors become a message and an exit status.

    Errors that are written for people are printed as they are; any other is a defect, and keeps
    its traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            status = command(*args, **kwargs)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            return ExitStatus.PROBLEM
        except SystemExit as end:
            # rich's way to end when nobody reads its output.
            if isinstance(end.__context__, BrokenPipeError):
                return ExitStatus.NO_OUTPUT
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is reported)
            if lost := _lost_output(error):
                return _report_lost(lost)
            return _report(error)
        if lost := _lost_output():
            return _report_lost(lost)
        return status

    return run


def _lost_output(error: Exception | None = None) -> OSError | None:
    """Why the output cannot be written, if it cannot."""
    if isinstance(error, OSError) and error.errno in UNWRITTEN:
        return error
    try:
        if sys.stdout is not None:  # it is None where a shell has closed it
            sys.stdout.flush()
    except OSError as lost:
        return lost
    return None


def _report_lost(error: OSError) -> int:
    """End without output: quietly where its reader has gone, as `head` does."""
    # Python writes what is left once more when it exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):
        print(f"Could not write the output: {error.strerror or error}", file=sys.stderr)
    return ExitStatus.NO_OUTPUT


def _report(error: Exception) -> int:
    """Print an error; returns the exit status."""
    # Imported here: a command that succeeds must not wait for what errors alone need.
    from blocks.errors import DcpError, InputError

    if "botocore" in sys.modules:
        from tasks.aws.errors import AwsError, access_error

        if isinstance(error, AwsError):
            # An answer that does not refuse the caller is shown as it is.
            error = access_error(error, "", "Could not call AWS") or DcpError(
                f"Could not call AWS: {error}"
            )
    if isinstance(error, DcpError):
        print(error, file=sys.stderr)
        return ExitStatus.BAD_INPUT if isinstance(error, InputError) else ExitStatus.PROBLEM
    import traceback

    traceback.print_exception(error)
    return ExitStatus.DEFECT
