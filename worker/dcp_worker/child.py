"""The program of the warm child: CellProfiler, loaded once, runs one job after the other.

The engine starts it as `python -m dcp_worker.child PLUGINS` with a socket as standard input. Each
job comes as a line of JSON together with the pipe that takes what the job prints; the answer is a
line of JSON. A job is CellProfiler's own command line, called in this process: what it does, says
and writes is the same, without the start.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import os
import random
import resource
import socket
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bioformats
import cellprofiler.__main__ as command_line
import h5py
import javabridge
import numpy
import psutil
from cellprofiler_core import preferences
from cellprofiler_core.pipeline import LoadException, Pipeline
from cellprofiler_core.utilities.java import start_java

from dcp_worker.process import megabytes

_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)


def _whole_pipeline() -> Any:
    """A pipeline that is loaded whole or not at all.

    CellProfiler logs that it cannot load a module, leaves it and all that follow out, runs the
    rest, and says Complete.
    """

    def heard(pipeline: object, event: object) -> None:
        if isinstance(event, LoadException):
            raise SystemExit(1)  # the reason is in the log

    pipeline = Pipeline()
    pipeline.add_listener(heard)
    return pipeline


def start(plugins: str) -> None:
    """Load CellProfiler with its modules and plugins, and start Java.

    The folder of the plugins is set first: the modules are looked for once in a process.
    """
    preferences.set_headless()
    preferences.set_awt_headless(True)
    if plugins:
        preferences.set_plugin_directory(plugins, globally=False)
    _log_as_the_command_line()
    import cellprofiler_core.modules  # noqa: F401  # finds and imports every module

    start_java()
    # The command line would start Java for the job, and end it; here it stays.
    command_line.start_java = lambda: None
    command_line.stop_cellprofiler = lambda: None
    command_line.Pipeline = _whole_pipeline
    if sys.platform == "linux":
        # What a plugin starts and leaves behind stays a child of this process, to be ended.
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    gc.collect()
    gc.freeze()  # of what is there to stay, no later collection has to look at


def run(arguments: list[str], numbering: Path | None) -> int:
    """Run one job; the exit status that the command line would have had."""
    try:
        with _numbering(numbering):
            code = command_line.main(["cellprofiler", *arguments])
    except SystemExit as leaving:
        code = leaving.code
    except Exception:  # noqa: BLE001  # any at all is the job's end and text, as it is in a shell
        traceback.print_exc()
        return 1
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


@contextlib.contextmanager
def _numbering(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    from dcp_worker import numbering

    with numbering.applied(path):
        yield


def _log_as_the_command_line() -> None:
    logging.root.handlers[:] = [logging.StreamHandler()]
    logging.root.setLevel(logging.INFO)


@contextlib.contextmanager
def fresh(temporary: str, plugins: str) -> Iterator[None]:
    """Make this process for the time of a job what a new one would be, and clean up after it."""
    folder, variables = os.getcwd(), dict(os.environ)
    standard = sys.stdout, sys.stderr
    path = list(sys.path)
    os.environ["TMPDIR"] = temporary
    os.chdir(temporary)
    _forget_preferences(plugins)
    preferences.set_temporary_directory(temporary, globally=False)
    numpy.seterr(all="ignore")
    numpy.random.seed()
    random.seed()
    try:
        # Says each warning once a job, and takes back the filters that a module has set.
        with warnings.catch_warnings():
            yield
    finally:
        sys.stdout, sys.stderr = standard
        sys.path[:] = path
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        _log_as_the_command_line()
        _release()


def _forget_preferences(plugins: str) -> None:
    """CellProfiler keeps its options as globals: those of the last job must not reach this one."""
    preferences.set_preferences_from_dict({})
    preferences.set_plugin_directory(plugins or None, globally=False)
    preferences.set_data_file(None)
    preferences.clear_image_set_file()
    preferences.set_always_continue(False, globally=False)
    preferences.set_conserve_memory(False, globally=False)
    preferences.set_allow_schema_write(True)


def _release() -> None:
    """Give back what a job holds: readers, files, memory, and processes that it has started."""
    # Job folders of the same name follow each other: neither a reader nor a listing of Bio-Formats
    # (kept for an hour) nor LoadData's header of the last job may be taken for this one's.
    bioformats.clear_image_reader_cache()
    javabridge.JClassWrapper("loci.common.Location").clearDirectoryListingsCache()
    vars(sys.modules["cellprofiler_core.modules.loaddata"])["header_cache"] = {}
    gc.collect()
    for file in h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE):
        h5py.File(file).close()  # measurements of a job that failed
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            process.wait()


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    """Peak resident memory of the job; where the system cannot tell, of the process so far."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1e3
    return megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _print_to(descriptor: int) -> None:
    """Let standard output and error, also those of Java and C, go to a file from now on."""
    sys.stdout.flush()
    sys.stderr.flush()
    _libc.fflush(None)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _serve(engine: socket.socket, plugins: str) -> None:
    """Run jobs until the engine is gone."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(engine, 1 << 16, 1)
        if not data:
            return
        while not data.endswith(b"\n"):
            data += engine.recv(1 << 16)
        job = json.loads(data)
        _print_to(descriptors[0])
        _reset_peak()
        with fresh(job["temporary"], plugins):
            status = run(job["arguments"], job["numbering"] and Path(job["numbering"]))
        _print_to(os.open(os.devnull, os.O_WRONLY))
        _answer(engine, status=status, peak_mb=_peak_mb())


def _answer(engine: socket.socket, **answer: Any) -> None:
    answer["rss_mb"] = psutil.Process().memory_info().rss / 1e6
    engine.sendall(json.dumps(answer).encode() + b"\n")


def main(plugins: str) -> None:
    """Load CellProfiler, say that it is ready, and run jobs."""
    engine = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    start(plugins)
    _print_to(os.open(os.devnull, os.O_WRONLY))
    _answer(engine)
    _serve(engine, plugins)
    os._exit(0)  # Java's threads would be waited for


if __name__ == "__main__":
    main(sys.argv[1])
