"""`dcp local run` in a process that is forked after the imports, which take longest.

A stand-in replaces the worker; running servers replace the run's own, if there are any.
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
        folder: Empty folder for its log in `log`, and its own folders in `scratch`.
        emulator: The emulator to use; None to start its own, and a Prefect server.
    """
    (folder / "scratch").mkdir()
    (folder / "log").touch()
    process = FORKS.Process(target=_run, args=(arguments, folder, emulator))
    process.start()
    return process


def finish(arguments: list[str], folder: Path, emulator: Emulator) -> tuple[int | None, str]:
    """Carry out a run on the shared Prefect server.

    Args:
        arguments: Those of `dcp local run`.
        folder: Empty folder for its log.
        emulator: The emulator to use.

    Returns:
        Its exit status, and its standard output and standard error.
    """
    process = start(arguments, folder, emulator)
    process.join()
    return process.exitcode, (folder / "log").read_text()


def _run(arguments: list[str], folder: Path, emulator: Emulator | None) -> None:
    from deployments.cli.main import main
    from deployments.local import run

    output = os.open(folder / "log", os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
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
