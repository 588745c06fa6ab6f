"""`dcp local run` in a process that is forked after the imports, which take longest.

The stand-in takes the place of the worker, and servers that run already, if any, that of its own.
"""

import multiprocessing
import os
import sys
import tempfile
from contextlib import nullcontext
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

from block_schemas import generate_once
from stand_in_worker import STAND_IN

from deployments.local import prefect_server
from deployments.local.emulator_client import Emulator, start_emulator

FORKS = multiprocessing.get_context("forkserver")
IMPORTS = [
    "deployments.cli.app",
    "deployments.local.run",
    "prefect.flow_engine",
    "tasks.report.plate_map",
]
FORKS.set_forkserver_preload(IMPORTS)


def start(arguments: list[str], folder: Path, emulator: Emulator | None) -> BaseProcess:
    """Start a run; returns its process.

    Args:
        arguments: Those of `dcp local run`.
        folder: Empty folder, in which it writes `told`, and makes its own in `scratch`.
        emulator: Emulator that is used; None for one of its own, and a Prefect server too.
    """
    (folder / "scratch").mkdir()
    (folder / "told").touch()
    process = FORKS.Process(target=_run, args=(arguments, folder, emulator))
    process.start()
    return process


def finish(arguments: list[str], folder: Path, emulator: Emulator) -> tuple[int | None, str]:
    """Carry out a run on the shared Prefect server.

    Args:
        arguments: Those of `dcp local run`.
        folder: Empty folder of its own.
        emulator: Emulator with the worker that does the jobs.

    Returns:
        Its exit status, and what it wrote to standard output and standard error.
    """
    process = start(arguments, folder, emulator)
    process.join()
    return process.exitcode, (folder / "told").read_text()


def _run(arguments: list[str], folder: Path, emulator: Emulator | None) -> None:
    from deployments.cli.main import main
    from deployments.local import run

    told = os.open(folder / "told", os.O_WRONLY | os.O_APPEND)
    os.dup2(told, 1)
    os.dup2(told, 2)
    tempfile.tempdir = str(folder / "scratch")
    # Runs share a Prefect server here.
    run.BLOCK = "".join(filter(str.isalnum, folder.name.lower()))
    run.CREDENTIALS = f"{run.BLOCK}-credentials"
    generate_once()
    if emulator is None:
        run.start_emulator = partial(start_emulator, container_command=[str(STAND_IN)])
    else:
        run.start_server = lambda *_: nullcontext(lambda: None)
        run.start_emulator = lambda *_, **__: nullcontext(emulator)
        prefect_server.use_server = lambda *_: ""
    sys.argv = ["dcp", "local", "run", *arguments]
    sys.exit(main())
