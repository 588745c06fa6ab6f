"""The command `dcp`."""

import argparse
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
from tasks import interrupt

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
    try:
        with interrupt.listening(last=arguments is None):
            given = parser().parse_args(arguments)
            status: int = given.call(given)
            return status
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
    except (EmulatorError, PrefectError) as error:
        print(error, file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
