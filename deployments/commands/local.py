"""`dcp local run` and `dcp local up`: this computer as AWS."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from deployments.commands.options import Plates
from deployments.exit_status import ExitStatus
from tasks import interrupt

UI_PORT = 4200  # where Prefect's own server listens

Folder = Annotated[Path, Parameter(metavar="DIR")]
Fleet = Annotated[
    str | None, Parameter(metavar="FILE", help="fleet template, or a fleet file of DCP")
]
Chaos = Annotated[
    tuple[str, ...],
    Parameter(
        metavar="NAME=VALUE[,...]",
        help="what goes wrong there, such as interruptions=20,errors=0.05,seed=7 (docs/local.md); "
        "repeat the option for several",
    ),
]

local = App(name="local", help="Use this computer as AWS.")


@local.command
def run(
    *,
    config: Annotated[str, Parameter(metavar="FILE")],
    job: Annotated[str, Parameter(metavar="FILE")],
    data: Folder,
    output: Folder,
    plates: Annotated[
        Plates,
        Parameter(help="one or more plates (default: those of the job file, else all in --data)"),
    ] = (),
    fleet: Fleet = None,
    report: Annotated[Path | None, Parameter(metavar="FILE.json")] = None,
    chaos: Chaos = (),
) -> int:
    """Run one full run on this computer: a folder in, a folder out.

    Run dcp/full-run on this computer with the real CellProfiler.

    Exit status: 0 every job succeeded or was skipped, 1 any did not, 2 bad input.

    Args:
        config: run config (YAML, or a config.py of DCP)
        job: job file (JSON or YAML)
        data: folder with the content of every bucket of the config; its paths are the keys
        output: folder that the outputs are copied to
        report: write the report to this file
    """
    from deployments.local.prefect_server import own_prefect

    with own_prefect() as (home, port):
        with interrupt.allowed():
            from deployments.local.run import Request
            from deployments.local.run import run as run_here

        return run_here(
            Request(
                config=config,
                job=job,
                data=data,
                output=output,
                fleet=fleet,
                report=report,
                home=home,
                port=port,
                plates=plates,
                chaos=chaos,
            )
        )


@local.command
def up(
    *,
    config: Annotated[str | None, Parameter(metavar="FILE")] = None,
    job: Annotated[str | None, Parameter(metavar="FILE")] = None,
    data: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    fleet: Fleet = None,
    chaos: Chaos = (),
) -> int:
    """Start Prefect with its UI, the emulator, the deployments and a worker, until Ctrl-C.

    Exit status: 0 ended by Ctrl-C, 1 something failed to start, 2 bad input.

    Args:
        config: run config (default: the demo's)
        job: job file (default: the demo's)
        data: folder with the content of the buckets
    """
    from deployments.local.prefect_server import own_prefect

    with own_prefect(UI_PORT) as (home, port):
        with interrupt.allowed():
            from deployments.local.up import up as start

        start(config, job, data, fleet, home, port, chaos)
    return ExitStatus.OK
