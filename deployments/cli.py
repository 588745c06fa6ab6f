"""The command `dcp`."""

import argparse
import signal
import sys
from collections.abc import Sequence

from deployments.commands import (
    account,
    check,
    cleanup,
    continuing,
    failures,
    importing,
    local,
    retry,
    status,
)
from deployments.local.aws import EmulatorError
from deployments.local.prefect_server import PrefectError

COMMANDS = (check, local, importing, status, failures, retry, continuing, cleanup, account)
FAILED = 1


def parser() -> argparse.ArgumentParser:
    """The command line of `dcp`."""
    top = argparse.ArgumentParser(prog="dcp", description="Distributed-CellProfiler on Prefect.")
    commands = top.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    given = parser().parse_args(arguments)
    # What was started is ended in order, and its folders are removed; also where a script started
    # us in the background, which makes Ctrl-C ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        status: int = given.call(given)
        return status
    except KeyboardInterrupt:
        print("broken off; nothing is left running", file=sys.stderr)
    except (EmulatorError, PrefectError) as error:
        print(error, file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
