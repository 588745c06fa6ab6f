"""A process that holds CellProfiler: its environment, what it prints, how it is ended."""

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

# One thread a slot: several CellProfilers share a machine, and the number of threads changes the
# last digits of Texture measurements.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
# Of a log longer than this the middle is dropped: what explains a failure stands at an end. Lines
# that speak of an error are kept of the middle, too, for a run may go on after one.
_FIRST_LINES = 1000
_LAST_LINES = 4000
_TELLING = re.compile("Error|Exception")
_TELLING_LINES = 1000
_PR_SET_PDEATHSIG = 1
# When the container's memory is used up, the kernel ends this process and no other ("proc(5)",
# /proc/pid/oom_score_adj, -1000 to 1000): the job is lost, the slot and its message are not.
_FIRST_TO_GO = "500"


def environment(inherited: Mapping[str, str], temporary: Path | None = None) -> dict[str, str]:
    """What CellProfiler finds in its environment.

    UTF-8 whatever the locale: CellProfiler opens the CSV with the encoding of its environment.
    """
    given = {**inherited, **ONE_THREAD, "PYTHONUTF8": "1"}
    return given if temporary is None else {**given, "TMPDIR": str(temporary)}


def spawn(
    words: Sequence[str], environment: Mapping[str, str], stdin: int, folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own that ends with this one; its output is one pipe."""
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
    with contextlib.suppress(OSError):  # it has ended, or this is not Linux
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(_FIRST_TO_GO)
    return process


def kill(pid: int) -> None:
    """Kill the whole process group: CellProfiler and whatever it started."""
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.killpg(pid, signal.SIGKILL)


@dataclass(frozen=True)
class End:
    """How a process ended, or a job in one that goes on.

    Attributes:
        exit_status: None when a signal ended it.
        signal: None when it ended by itself.
        timed_out: Whether it was ended because its time was over.
        peak_memory_mb: Its largest resident memory.
    """

    exit_status: int | None
    signal: int | None
    timed_out: bool
    peak_memory_mb: float

    @classmethod
    def of(cls, status: int, usage: resource.struct_rusage, timed_out: bool) -> End:
        """What `os.wait4` says of a process."""
        code = os.waitstatus_to_exitcode(status)
        peak = megabytes(usage.ru_maxrss)
        return cls(code, None, timed_out, peak) if code >= 0 else cls(None, -code, timed_out, peak)


def megabytes(maximum_resident_set: int) -> float:
    """Of getrusage's figure, which is in KiB on Linux and in bytes on macOS."""
    return maximum_resident_set * (1 if sys.platform == "darwin" else 1024) / 1e6


def _die_with_parent() -> Callable[[], None] | None:
    """What the child calls before it becomes CellProfiler, where the system can (Linux).

    A slot that is killed cannot end its CellProfiler, so the kernel does. The library is loaded
    here, before the fork: after it only the one call is made.
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


class Lines:
    """Reads what a process prints, on a thread, so that a full pipe never blocks it."""

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
        if _TELLING.search(dropped) and len(self._first) < _FIRST_LINES + _TELLING_LINES:
            self._first.append(dropped)
        self._last.append(text)

    def finish(self) -> None:
        """Wait for the rest; a process left over by CellProfiler is not waited for."""
        self._thread.join(timeout=5)

    def all(self) -> list[str]:
        """The lines so far; without the middle when they are very many."""
        return [*self._first, *self._last]
