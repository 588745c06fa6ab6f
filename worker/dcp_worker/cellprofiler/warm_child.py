"""The warm child's program: loads CellProfiler once and runs one job after the other.

The slot starts it as `python -m dcp_worker.cellprofiler.warm_child PLUGINS` with a socket as
standard input. A job arrives as a line of JSON together with a pipe for its output; the answer is a
line of JSON. The child calls CellProfiler's own command line in this process: a job does, prints
and writes the same as in a new process, without the time of the start.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import json
import os
import resource
import socket
import sys
import tempfile
import traceback
import urllib.request
from pathlib import Path
from typing import Any

import bioformats
import cellprofiler.__main__ as command_line
import psutil
from cellprofiler_core import preferences
from cellprofiler_core.pipeline import LoadException, Pipeline
from cellprofiler_core.utilities.java import start_java
from PIL import Image

from dcp_worker.cellprofiler import state_reset
from dcp_worker.cellprofiler.process import megabytes

_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)


def _start(plugins: str) -> None:
    """Load CellProfiler with its modules and plugins, and start Java."""
    preferences.set_headless()
    preferences.set_awt_headless(True)
    # Before the modules: a process searches for them only once.
    preferences.set_plugin_directory(plugins or None, globally=False)
    state_reset.log_as_the_command_line()
    import cellprofiler_core.modules  # noqa: F401  # finds and imports every module

    start_java()
    _read_an_image()
    # The command line starts and ends Java with each job; here Java stays.
    command_line.start_java = lambda: None
    command_line.stop_cellprofiler = lambda: None
    command_line.Pipeline = _whole_pipeline
    bioformats.formatreader.urlopen = _whole_answer
    if sys.platform == "linux":
        # A process that a plugin leaves behind becomes a child of this one, which can kill it.
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    gc.collect()
    gc.freeze()  # later collections need not scan the loaded modules


def _read_an_image() -> None:
    """Make Java load Bio-Formats (0.5 s), so that the first image need not wait for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "image.tif")
        Image.new("I;16", (64, 64)).save(path)
        bioformats.load_image(path)
    bioformats.clear_image_reader_cache()


def _whole_answer(url: str) -> io.BytesIO:
    """Download a URL completely or fail (http.client.IncompleteRead).

    Bio-Formats copies an image from a URL in pieces, and mistakes a lost connection for the end of
    the image.
    """
    with urllib.request.urlopen(url) as answer:
        return io.BytesIO(answer.read())


def _whole_pipeline() -> Any:
    """A pipeline that loads completely or not at all.

    If CellProfiler cannot load a module, it logs that, skips this module and all later ones, runs
    the rest, and reports Complete.
    """

    def exit_on_load_error(pipeline: object, event: object) -> None:
        if isinstance(event, LoadException):
            raise SystemExit(1)  # the reason is in the log

    pipeline = Pipeline()
    pipeline.add_listener(exit_on_load_error)
    return pipeline


def _run(arguments: list[str], numbering: str | None) -> int:
    """Run one job; returns the command line's exit status."""
    try:
        with _numbered(numbering):
            code = command_line.main(["cellprofiler", *arguments])
    except SystemExit as system_exit:
        code = system_exit.code
    except Exception:  # noqa: BLE001  # ends the job with a traceback, as in a new process
        traceback.print_exc()
        return 1
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _numbered(path: str | None) -> contextlib.AbstractContextManager[None]:
    if path is None:
        return contextlib.nullcontext()
    from dcp_worker.cellprofiler import row_numbering

    return row_numbering.as_in_whole_csv(Path(path))


def _do(job: dict[str, Any], plugins: str) -> dict[str, object]:
    """Run a job and clean up after it; returns the answer."""
    status, fit = 1, True
    _reset_peak()
    try:
        with state_reset.as_new_process(Path(job["temporary"]), plugins):
            status = _run(job["arguments"], job["numbering"])
    except Exception:  # noqa: BLE001  # the clean-up failed: the result stands, the process is unfit
        traceback.print_exc()
        fit = False
    return {"status": status, "fit": fit, "peak_mb": _peak_mb()}


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    """Peak resident memory of the job, or of the process so far where the system lacks that."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _print_to(descriptor: int) -> None:
    """Redirect standard output and error, including those of Java and C, to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    _libc.fflush(None)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _answer(slot: socket.socket, answer: dict[str, object]) -> None:
    """Close the job's output pipe, so that the slot has all of the output, then answer."""
    _print_to(os.open(os.devnull, os.O_WRONLY))
    answer["rss_mb"] = psutil.Process().memory_info().rss / 1e6
    slot.sendall(json.dumps(answer).encode() + b"\n")


def _serve(plugins: str) -> None:
    """Load CellProfiler, report ready, and run jobs until the slot closes the socket."""
    slot = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _start(plugins)
    _answer(slot, {})
    while True:
        data, descriptors, _, _ = socket.recv_fds(slot, 1 << 16, 1)
        if not data:
            return
        while not data.endswith(b"\n"):
            data += slot.recv(1 << 16)
        _print_to(descriptors[0])
        _answer(slot, _do(json.loads(data), plugins))


def main(plugins: str) -> None:
    """Serve the slot until it is gone or an error occurs."""
    status = 1
    try:
        _serve(plugins)
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        # A normal exit of the interpreter would wait for Java for ever.
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1])
