"""A process that runs CellProfiler: its environment, its output, its end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# One thread per slot: several CellProfilers share a machine, and the number of threads changes the
# last digits of Texture measurements.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
# The middle of a longer log is dropped: the cause of a failure is near the start or the end. Lines
# with an error are kept from the middle too, because a run may continue after an error.
_FIRST_LINES = 1000
_LAST_LINES = 4000
_ERROR = re.compile("Error|Exception")
_ERROR_LINES = 1000
_PR_SET_PDEATHSIG = 1
# When the container runs out of memory, the kernel kills this process first ("proc(5)",
# /proc/pid/oom_score_adj, -1000 to 1000): that ends the job, but not the slot with its message.
_OOM_SCORE = "500"


def environment(inherited: Mapping[str, str], temporary: Path | None = None) -> dict[str, str]:
    """The environment of CellProfiler.

    It forces UTF-8, because CellProfiler opens the CSV with the encoding of its locale.
    """
    variables = {**inherited, **ONE_THREAD, "PYTHONUTF8": "1"}
    return variables if temporary is None else {**variables, "TMPDIR": str(temporary)}


def spawn(
    words: Sequence[str], environment: Mapping[str, str], stdin: int, folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in its own process group that dies with this one; one pipe has its output."""
    process = subprocess.Popen(
        words,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=folder,
        start_new_session=True,
        preexec_fn=_die_with_parent(),
    )
    with contextlib.suppress(OSError):  # it has exited, or this is not Linux
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(_OOM_SCORE)
    return process


def kill(pid: int) -> None:
    """Kill the whole process group: CellProfiler and whatever it started."""
    with contextlib.suppress(ProcessLookupError):  # it has just exited
        os.killpg(pid, signal.SIGKILL)


@dataclass(frozen=True)
class ProcessEnd:
    """The end of a process, or of a job in a process that keeps running.

    Attributes:
        exit_status: None if a signal killed it.
        signal: None if it exited.
        timed_out: Whether it was killed because it exceeded its time limit.
        peak_memory_mb: Largest resident memory.
    """

    exit_status: int | None
    signal: int | None
    timed_out: bool
    peak_memory_mb: float

    @classmethod
    def of(cls, status: int, usage: resource.struct_rusage, timed_out: bool) -> ProcessEnd:
        """From the result of `os.wait4`."""
        code = os.waitstatus_to_exitcode(status)
        peak = megabytes(usage.ru_maxrss)
        return cls(code, None, timed_out, peak) if code >= 0 else cls(None, -code, timed_out, peak)


def megabytes(maximum_resident_set: int) -> float:
    """Convert getrusage's value, which is in KiB on Linux and in bytes on macOS."""
    return maximum_resident_set * (1 if sys.platform == "darwin" else 1024) / 1e6


def _die_with_parent() -> Callable[[], None] | None:
    """The function that the child calls before it executes CellProfiler (Linux only).

    It makes the kernel kill CellProfiler when the slot is killed. The library is loaded here,
    before the fork, so that the child only makes the one call.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between the fork and the call
            os._exit(1)

    return ask_the_kernel


class OutputLines:
    """Reads a process's output on a thread, so that a full pipe never blocks the process."""

    def __init__(self, pipe: IO[bytes] | None, line: Callable[[str], None]) -> None:
        if pipe is None:
            raise AssertionError("Popen with stdout=PIPE has a stdout")
        self._pipe = pipe
        self._line = line
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._thread = threading.Thread(target=self._read, name="log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe:
            for raw in self._pipe:
                text = raw.decode("utf-8", "replace").rstrip()
                self._keep(text)
                self._line(text)

    def _keep(self, text: str) -> None:
        if len(self._first) < _FIRST_LINES:
            self._first.append(text)
            return
        dropped = self._last[0] if len(self._last) == _LAST_LINES else ""
        if _ERROR.search(dropped) and len(self._first) < _FIRST_LINES + _ERROR_LINES:
            self._first.append(dropped)
        self._last.append(text)

    def finish(self) -> None:
        """Wait for the rest of the output, but not for a process that CellProfiler left behind."""
        self._thread.join(timeout=5)

    def all(self) -> list[str]:
        """The lines so far, without the middle of a very long log."""
        return [*self._first, *self._last]
