"""The command `dcp`."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deployments.local.aws import EmulatorError
from deployments.local.prefect_server import PrefectError, free_port, use_server

UI_PORT = 4200  # where Prefect's own server listens
FAILED = 1


def parser() -> argparse.ArgumentParser:
    """The command line of `dcp`."""
    top = argparse.ArgumentParser(prog="dcp", description="Distributed-CellProfiler on Prefect.")
    commands = top.add_subparsers(dest="command", required=True)
    local = commands.add_parser("local", help="this computer as AWS")
    actions = local.add_subparsers(dest="action", required=True)

    run = actions.add_parser(
        "run",
        help="one full run: a folder in, a folder out",
        description="Run dcp/full-run on this computer with the real CellProfiler. Exit status: "
        "0 every job succeeded or was skipped, 1 any did not, 2 bad input.",
    )
    run.add_argument("--config", required=True, metavar="FILE", help="run config (YAML)")
    run.add_argument("--job", required=True, metavar="FILE", help="job file (JSON or YAML)")
    run.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="DIR",
        help="the content of every bucket that the config names; paths below it are the keys",
    )
    run.add_argument(
        "--output", required=True, type=Path, metavar="DIR", help="where outputs are copied to"
    )
    run.add_argument("--fleet", metavar="FILE", help="fleet template, or a DCP fleet file")
    run.add_argument("--report", type=Path, metavar="FILE.json", help="write the report there")

    up = actions.add_parser(
        "up",
        help="Prefect with its UI, the emulator, the deployments and a worker, until Ctrl-C",
    )
    up.add_argument("--config", metavar="FILE", help="run config; left out, the demo's")
    up.add_argument("--job", metavar="FILE", help="job file; left out, the demo's")
    up.add_argument("--data", type=Path, metavar="DIR", help="content of the buckets")
    up.add_argument("--fleet", metavar="FILE", help="fleet template, or a DCP fleet file")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    given = parser().parse_args(arguments)
    # What was started is ended in order, and its folders are removed; also where a script started
    # us in the background, which makes Ctrl-C ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="dcp-prefect-") as folder:
            return (_run if given.action == "run" else _up)(given, Path(folder))
    except KeyboardInterrupt:
        print("broken off; nothing is left running", file=sys.stderr)
    except (EmulatorError, PrefectError) as error:
        print(error, file=sys.stderr)
    return FAILED


# Prefect reads its settings when it is imported: only once they stand in the environment.


def _run(given: argparse.Namespace, home: Path) -> int:
    port = free_port()
    use_server(home, port)
    from deployments.local.run import Request, run

    return run(
        Request(
            config=given.config,
            job=given.job,
            data=given.data,
            output=given.output,
            fleet=given.fleet,
            report=given.report,
            home=home,
            port=port,
        )
    )


def _up(given: argparse.Namespace, home: Path) -> int:
    port = free_port(UI_PORT)
    use_server(home, port)
    from deployments.local.up import up

    return up(given.config, given.job, given.data, given.fleet, home, port)


if __name__ == "__main__":
    sys.exit(main())
