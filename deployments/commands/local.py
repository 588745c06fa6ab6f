"""`dcp local run` and `dcp local up`: this computer as AWS."""

import argparse
from pathlib import Path

from deployments.local.prefect_server import own_prefect
from tasks import interrupt

UI_PORT = 4200  # where Prefect's own server listens


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `dcp local` and its two actions."""
    local = commands.add_parser("local", help="this computer as AWS")
    actions = local.add_subparsers(dest="action", required=True)

    run = actions.add_parser(
        "run",
        help="one full run: a folder in, a folder out",
        description="Run dcp/full-run on this computer with the real CellProfiler. Exit status: "
        "0 every job succeeded or was skipped, 1 any did not, 2 bad input.",
    )
    run.set_defaults(call=_run)
    run.add_argument(
        "--config", required=True, metavar="FILE", help="run config (YAML, or a config.py of DCP)"
    )
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
    run.add_argument(
        "--plates",
        nargs="+",
        default=[],
        metavar="PLATE",
        help="plates in place of the job file's own; where none are named, all in --data",
    )
    run.add_argument("--fleet", metavar="FILE", help="fleet template, or a DCP fleet file")
    run.add_argument("--report", type=Path, metavar="FILE.json", help="write the report there")

    _add_chaos(run)

    up = actions.add_parser(
        "up",
        help="Prefect with its UI, the emulator, the deployments and a worker, until Ctrl-C",
    )
    up.set_defaults(call=_up)
    up.add_argument("--config", metavar="FILE", help="run config; left out, the demo's")
    up.add_argument("--job", metavar="FILE", help="job file; left out, the demo's")
    up.add_argument("--data", type=Path, metavar="DIR", help="content of the buckets")
    up.add_argument("--fleet", metavar="FILE", help="fleet template, or a DCP fleet file")
    _add_chaos(up)


def _add_chaos(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--chaos",
        action="append",
        default=[],
        metavar="NAME=VALUE[,...]",
        help="what goes wrong there, such as interruptions=20,errors=0.05,seed=7 (docs/local.md); "
        "may be repeated",
    )


def _run(given: argparse.Namespace) -> int:
    with own_prefect() as (home, port):
        with interrupt.allowed():
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
                plates=tuple(given.plates),
                chaos=tuple(given.chaos),
            )
        )


def _up(given: argparse.Namespace) -> int:
    with own_prefect(UI_PORT) as (home, port):
        with interrupt.allowed():
            from deployments.local.up import up

        return up(given.config, given.job, given.data, given.fleet, home, port, given.chaos)
