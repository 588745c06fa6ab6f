"""`dcp local run` and `dcp local up`: runs against an emulator of AWS on this computer."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from deployments.cli.commands.options import Plates, Source
from deployments.exit_status import ExitStatus
from tasks import interrupt

UI_PORT = 4200  # the default port of Prefect's server

Folder = Annotated[Path, Parameter(metavar="DIR")]
Fleet = Annotated[
    Source | None, Parameter(metavar="FILE", help="fleet template, or a fleet file of DCP")
]
Chaos = Annotated[
    tuple[str, ...],
    Parameter(
        metavar="NAME=VALUE[,...]",
        help="faults to inject, such as interruptions=20,errors=0.05,seed=7 (docs/local.md); "
        "repeat the option for several",
    ),
]

local = App(name="local", help="Run dcp on this computer, without an AWS account.")


@local.command
def run(
    *,
    config: Annotated[Source, Parameter(metavar="FILE")],
    job: Annotated[Source, Parameter(metavar="FILE")],
    data: Folder,
    output: Folder,
    plates: Annotated[
        Plates,
        Parameter(
            help="plate (default: those of the job file, else all in --data); repeat the option "
            "for several"
        ),
    ] = (),
    fleet: Fleet = None,
    report: Annotated[Path | None, Parameter(metavar="FILE.json")] = None,
    chaos: Chaos = (),
) -> int:
    """Process a local folder of images on this computer and copy the results to another folder.

    Run dcp/full-run on this computer with the real CellProfiler.

    Exit status: 0 every job succeeded or was skipped, 1 a job failed or was lost, or the run was
    interrupted, 2 bad input.

    Args:
        config: run config (YAML, or a config.py of DCP)
        job: job file (JSON or YAML)
        data: folder to use as the content of every bucket; file paths in it are the S3 keys
        output: folder that the outputs are copied to
        report: write the report to this file
    """
    from deployments.local.prefect_server import temporary_prefect

    with temporary_prefect() as (home, port):
        with interrupt.allowed():
            from deployments.local.run import LocalRunRequest
            from deployments.local.run import run as run_here

        return run_here(
            LocalRunRequest(
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
    config: Annotated[Source | None, Parameter(metavar="FILE")] = None,
    job: Annotated[Source | None, Parameter(metavar="FILE")] = None,
    data: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    fleet: Fleet = None,
    chaos: Chaos = (),
) -> int:
    """Start Prefect with its UI, the emulator, the deployments and a worker, until Ctrl-C.

    Exit status: 0 stopped with Ctrl-C, 1 a part failed to start, 2 bad input.

    Args:
        config: run config (default: the demo's)
        job: job file (default: the demo's)
        data: folder with the content of the buckets
    """
    from deployments.local.prefect_server import temporary_prefect

    with temporary_prefect(UI_PORT) as (home, port):
        with interrupt.allowed():
            from deployments.local.up import up as start

        start(config, job, data, fleet, home, port, chaos)
    return ExitStatus.OK
