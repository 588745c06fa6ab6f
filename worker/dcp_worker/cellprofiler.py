"""CellProfiler's command line: how it is written, run, and ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dcp_worker.interruption import InterruptedJobError

if TYPE_CHECKING:
    from dcp_worker.interruption import Check

# One thread a slot: several CellProfilers share a machine, and the number of threads changes the
# last digits of Texture measurements.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
_POLL_SECONDS = 0.05
# Of a log longer than this the middle is dropped: what explains a failure stands at an end.
_FIRST_LINES = 1000
_LAST_LINES = 4000
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Call:
    """One run of the command line.

    Attributes:
        pipeline: The pipeline or batch file.
        data_file: A LoadData CSV or list of files; None with a batch file.
        group: `K=V,K=V`; empty: all image sets, as with a list of files.
        input_folder: Default input folder.
        output_folder: Default output folder.
        done_file: Where CellProfiler writes Complete or Failure; of this attempt alone.
        plugins: Plugins directory, if any.
        always_continue: Go on with the next image set after an error.
    """

    pipeline: Path
    data_file: Path | None
    group: str
    input_folder: Path
    output_folder: Path
    done_file: Path
    plugins: Path | None = None
    always_continue: bool = False

    def words(self) -> list[str]:
        """The command as a list: nothing in a message is ever split or seen by a shell."""
        words = [*_executable(), "-c", "-r", "-p", str(self.pipeline)]
        words += ["-i", str(self.input_folder), "-o", str(self.output_folder)]
        words += ["-d", str(self.done_file)]
        if self.data_file is not None:
            option = "--file-list" if self.data_file.suffix == ".txt" else "--data-file"
            words.append(f"{option}={self.data_file}")
        if self.group:
            words += ["-g", self.group]
        if self.plugins is not None:
            words.append(f"--plugins-directory={self.plugins}")
        if self.always_continue:
            words.append("--always-continue")
        return words


@dataclass(frozen=True)
class Ended:
    """How a run ended; `log` lacks the middle of a very long one."""

    exit_status: int | None
    signal: int | None
    timed_out: bool
    seconds: float
    peak_memory_mb: float
    log: Sequence[str]


def _executable() -> list[str]:
    beside = Path(sys.executable).parent / "cellprofiler"
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "cellprofiler"]


def run(
    call: Call, temporary: Path, timeout: float, check: Check, line: Callable[[str], None]
) -> Ended:
    """Run CellProfiler to its end.

    Args:
        call: What to run.
        temporary: Folder for its temporary files.
        timeout: Seconds after which it is killed.
        check: Raises when the job is interrupted; CellProfiler is killed then.
        line: Takes each line that it prints, with what was run as the first.

    Raises:
        InterruptedJobError: As `check` does.
    """
    words = call.words()
    line(shlex.join(words))
    started = time.monotonic()
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(os.environ, temporary),
        start_new_session=True,
        preexec_fn=_die_with_parent(),
    )
    if process.stdout is None:
        raise AssertionError("Popen with stdout=PIPE has a stdout")
    lines = _Lines(process.stdout, line)
    timed_out = False
    try:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if not timed_out and time.monotonic() - started > timeout:
                timed_out = True
                _kill(process.pid)
            check()
            time.sleep(_POLL_SECONDS)
    except InterruptedJobError:
        _kill(process.pid)
        process.wait()
        raise
    finally:
        # Also after its own end: what a plugin has started and left there would write on for ever.
        _kill(process.pid)
        lines.finish()
    code = os.waitstatus_to_exitcode(status)
    process.returncode = code  # Popen cannot know: wait4, which tells the memory, has reaped it
    return Ended(
        exit_status=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        timed_out=timed_out,
        seconds=time.monotonic() - started,
        peak_memory_mb=_megabytes(usage.ru_maxrss),
        log=lines.all(),
    )


def _environment(inherited: Mapping[str, str], temporary: Path) -> dict[str, str]:
    # UTF-8 whatever the locale: CellProfiler opens the CSV with the encoding of its environment.
    return {**inherited, **ONE_THREAD, "TMPDIR": str(temporary), "PYTHONUTF8": "1"}


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


def _kill(pid: int) -> None:
    """Kill the whole process group: CellProfiler and whatever it started."""
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.killpg(pid, signal.SIGKILL)


def _megabytes(maximum_resident_set: int) -> float:
    """Of getrusage's figure, which is in kB on Linux and in bytes on macOS."""
    return maximum_resident_set / (1e6 if sys.platform == "darwin" else 1e3)


class _Lines:
    """Reads what the process prints, on a thread, so that a full pipe never blocks it."""

    def __init__(self, pipe: IO[bytes], line: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._line = line
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._thread = threading.Thread(target=self._read, name="log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for raw in self._pipe:
            text = raw.decode("utf-8", "replace").rstrip()
            (self._first if len(self._first) < _FIRST_LINES else self._last).append(text)
            self._line(text)

    def finish(self) -> None:
        """Wait for the rest; a process left over by CellProfiler is not waited for."""
        self._thread.join(timeout=5)

    def all(self) -> list[str]:
        return [*self._first, *self._last]
