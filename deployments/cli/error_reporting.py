"""Reports the errors of dcp's commands as messages on stderr, and as exit statuses."""

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

from deployments.exit_status import ExitStatus

P = ParamSpec("P")


UNWRITTEN = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors that prevent output: no reader, no space, no disk."""


def reporting_errors(command: Callable[P, int]) -> Callable[P, int]:
    """Decorator for a command: turns its errors into a message and an exit status.

    Errors that are written for people are printed as they are; any other is a defect and keeps its
    traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            status = command(*args, **kwargs)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            return ExitStatus.PROBLEM
        except SystemExit as end:
            # rich exits like this if nobody reads its output.
            if isinstance(end.__context__, BrokenPipeError):
                return ExitStatus.NO_OUTPUT
            raise
        except Exception as error:  # noqa: BLE001 (every error is reported)
            if lost := _lost_output(error):
                return _report_lost(lost)
            return _report(error)
        if lost := _lost_output():
            return _report_lost(lost)
        return status

    return run


def _lost_output(error: Exception | None = None) -> OSError | None:
    """The error for which the output cannot be written, if any."""
    if isinstance(error, OSError) and error.errno in UNWRITTEN:
        return error
    try:
        if sys.stdout is not None:  # None if the shell has closed it
            sys.stdout.flush()
    except OSError as lost:
        return lost
    return None


def _report_lost(error: OSError) -> int:
    """Report that the output was lost, unless its reader has gone, such as `head`."""
    # At exit, Python tries again to write the buffered output.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):
        print(f"Could not write the output: {error.strerror or error}", file=sys.stderr)
    return ExitStatus.NO_OUTPUT


def _report(error: Exception) -> int:
    """Print an error; returns the exit status."""
    # Imported here: a successful command must not wait for modules that only errors need.
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
