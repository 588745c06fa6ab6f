"""The slot's CellProfiler, kept loaded in its own process, which runs one job after the other.

A job can bring down only this process. The slot replaces it after a number of jobs, if its memory
has grown too much, and if it has died. If it cannot be started, the slot runs CellProfiler's
command line.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker.cellprofiler import command_line, process
from dcp_worker.cellprofiler.command_line import CellProfilerCall, CellProfilerEnd
from dcp_worker.cellprofiler.warm_process import ProcessGoneError, WarmProcess
from dcp_worker.common.cancellation import InterruptedJobError

if TYPE_CHECKING:
    from logging import Logger

    from dcp_worker.common.cancellation import Check

_MOST_FAILED_STARTS = 2
# Share of the slot's memory that the process may hold between jobs; the next job needs the rest.
_MEMORY_SHARE = 0.6


class Engine:
    """Runs the jobs of a slot, one at a time, always from the same thread.

    Args:
        warm: False: run the command line for each job.
        memory_mb: The slot's share of the container's memory; 0: unknown, no limit.
        log: For messages that concern no single job.
        plugins: Plugins directory, if any, for the first start.
        jobs: Replace the process after this many jobs.
    """

    def __init__(
        self,
        warm: bool,
        memory_mb: float,
        log: Logger,
        *,
        plugins: Path | None = None,
        jobs: int = 100,
    ) -> None:
        self._warm = warm
        self._most_memory_mb = memory_mb * _MEMORY_SHARE if memory_mb else float("inf")
        self._log = log
        self._plugins = plugins
        self._jobs = jobs
        self._failed_starts = 0
        self._warm_process: WarmProcess | None = None

    @property
    def pid(self) -> int | None:
        """Id of the process with CellProfiler loaded, if any."""
        return self._warm_process.pid if self._warm_process is not None else None

    def start(self, check: Check = lambda: None) -> None:
        """Load CellProfiler and wait until it can take a job.

        Raises:
            InterruptedJobError: Raised by `check`; this aborts the start.
        """
        self._get(self._plugins, check)

    def close(self) -> None:
        """Kill CellProfiler and all processes that it started."""
        loaded, self._warm_process = self._warm_process, None
        if loaded is not None:
            loaded.kill()

    def run(
        self,
        call: CellProfilerCall,
        temporary: Path,
        timeout: float,
        check: Check,
        line: Callable[[str], None],
    ) -> CellProfilerEnd:
        """Run CellProfiler for one job, with the same interface as `command_line.run`."""
        loaded = self._get(call.plugins, check)
        if loaded is None:
            return command_line.run(call, temporary, timeout, check, line)
        for text in (shlex.join(call.command()), *loaded.start_lines):
            line(text)
        ended = _run(loaded, call, temporary, timeout, check, line)
        self._renew(loaded)
        return ended

    def _get(self, plugins: Path | None, check: Check) -> WarmProcess | None:
        """A process that can take a job; None if the command line must run it."""
        if not self._warm:
            return None
        loaded = self._warm_process
        if loaded is not None and (loaded.plugins != plugins or not loaded.alive):
            self.close()
        if self._warm_process is None:
            self._warm_process = WarmProcess(plugins)
        try:
            self._warm_process.wait_until_ready(check)
        except InterruptedJobError:
            self.close()
            raise
        except ProcessGoneError as gone:
            self._give_up(self._warm_process, gone)
            return None
        self._failed_starts = 0
        return self._warm_process

    def _give_up(self, loaded: WarmProcess, gone: ProcessGoneError) -> None:
        output = loaded.last_lines()
        self.close()
        self._failed_starts += 1
        self._warm = self._failed_starts < _MOST_FAILED_STARTS
        self._log.warning(
            "Could not load CellProfiler in advance (%s); using its command line%s. Output:\n%s",
            gone,
            "" if self._warm else " from now on",
            output,
        )

    def _renew(self, loaded: WarmProcess) -> None:
        """After a job: start a new process if this one has exited, grown or reached its limit."""
        grown = loaded.memory_mb > self._most_memory_mb
        if grown:
            self._log.info("CellProfiler holds %.0f MB: restarting it.", loaded.memory_mb)
        if grown or loaded.jobs >= self._jobs or not loaded.fit:
            self.close()
            self._warm_process = WarmProcess(loaded.plugins)


def _run(
    loaded: WarmProcess,
    call: CellProfilerCall,
    temporary: Path,
    timeout: float,
    check: Check,
    line: Callable[[str], None],
) -> CellProfilerEnd:
    ours, theirs = os.pipe()
    lines = process.OutputLines(os.fdopen(ours, "rb"), line)
    started = time.monotonic()
    try:
        end = loaded.run(call, temporary, timeout, check, theirs)
    finally:
        if not loaded.fit:
            loaded.kill()  # the job, or a process that it left behind, is still running
        lines.finish()
    seconds = time.monotonic() - started
    return CellProfilerEnd(**vars(end), seconds=seconds, log=[*loaded.start_lines, *lines.all()])
