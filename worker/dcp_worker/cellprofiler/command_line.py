"""CellProfiler's command line: builds it and runs it for one job."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker.cellprofiler import process
from dcp_worker.common.cancellation import InterruptedJobError

if TYPE_CHECKING:
    from dcp_worker.common.cancellation import Check

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class CellProfilerCall:
    """One run of CellProfiler.

    Attributes:
        pipeline: The pipeline or batch file.
        data_file: A LoadData CSV or file list; None with a batch file.
        group: `K=V,K=V`; empty: all image sets, as with a file list.
        input_folder: Default input folder.
        output_folder: Default output folder.
        done_file: File that receives Complete or Failure; used by this attempt alone.
        plugins: Plugins directory, if any.
        always_continue: Continue with the next image set after an error.
        numbering: Facts about the whole CSV, if `data_file` holds only the group's rows; only the
            warm CellProfiler can use it.
        whole_csv: Writes the whole CSV and returns its path; required with `numbering`.
    """

    pipeline: Path
    data_file: Path | None
    group: str
    input_folder: Path
    output_folder: Path
    done_file: Path
    plugins: Path | None = None
    always_continue: bool = False
    numbering: Path | None = None
    whole_csv: Callable[[], Path] | None = None

    def arguments(self) -> list[str]:
        """The arguments as a list, so that no shell ever splits or interprets a message's text."""
        words = ["-c", "-r", "-p", str(self.pipeline)]
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

    def command(self) -> list[str]:
        """The whole command."""
        return [*_executable(), *self.arguments()]

    def with_whole_csv(self) -> CellProfilerCall:
        """The same call with the whole CSV, for the command line, which cannot use `numbering`.

        Raises:
            OSError: The CSV cannot be written.
        """
        if self.numbering is None:
            return self
        if self.whole_csv is None:
            raise AssertionError("numbering requires whole_csv")
        return replace(self, data_file=self.whole_csv(), numbering=None)


@dataclass(frozen=True)
class CellProfilerEnd(process.ProcessEnd):
    """The end of a run and its duration; `log` lacks the middle of a very long log."""

    seconds: float
    log: Sequence[str]


def _executable() -> list[str]:
    beside = Path(sys.executable).parent / "cellprofiler"
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "cellprofiler"]


def run(
    call: CellProfilerCall,
    temporary: Path,
    timeout: float,
    check: Check,
    line: Callable[[str], None],
) -> CellProfilerEnd:
    """Run CellProfiler's command line to its end.

    Args:
        call: What to run.
        temporary: Folder for its temporary files, and its working directory.
        timeout: Seconds after which it is killed.
        check: Raises when the job is interrupted; CellProfiler is then killed.
        line: Receives the command, then each printed line.

    Raises:
        InterruptedJobError: Raised by `check`.
        OSError: The whole CSV cannot be written.
    """
    words = call.with_whole_csv().command()
    line(shlex.join(words))
    started = time.monotonic()
    environment = process.environment(os.environ, temporary)
    child = process.spawn(words, environment, subprocess.DEVNULL, temporary)
    lines = process.OutputLines(child.stdout, line)
    timed_out = False
    try:
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if not timed_out and time.monotonic() - started > timeout:
                timed_out = True
                process.kill(child.pid)
            check()
            time.sleep(_POLL_SECONDS)
    except InterruptedJobError:
        process.kill(child.pid)
        child.wait()
        raise
    finally:
        # Also after a normal exit: a process that a plugin left running would write for ever.
        process.kill(child.pid)
        lines.finish()
    # Popen does not know: wait4, which also returns the memory, has reaped it.
    child.returncode = os.waitstatus_to_exitcode(status)
    end = process.ProcessEnd.of(status, usage, timed_out)
    return CellProfilerEnd(**vars(end), seconds=time.monotonic() - started, log=lines.all())
