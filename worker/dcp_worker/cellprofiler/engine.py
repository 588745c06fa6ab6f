"""The slot's CellProfiler: kept loaded in a process of its own, which runs one job after the other.

What a job can bring down is that process alone. It is replaced after a number of jobs, when it has
grown, and after whatever ended it; while it cannot be had, the command line does the work.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker.cellprofiler import command_line, process
from dcp_worker.cellprofiler.command_line import Call, Ended
from dcp_worker.cellprofiler.warm_process import GoneError, Loaded
from dcp_worker.common.cancellation import InterruptedJobError

if TYPE_CHECKING:
    from logging import Logger

    from dcp_worker.common.cancellation import Check

_MOST_FAILED_STARTS = 2
# Of the slot's memory, what may be held between two jobs: the next one needs room to work.
_MEMORY_SHARE = 0.6


class Engine:
    """Runs the jobs of a slot, one at a time, always from the same thread.

    Args:
        warm: False: each job by the command line.
        memory_mb: The slot's share of the container's memory; 0: not known, no bound.
        log: Takes what concerns no single job.
        plugins: Plugins directory, if any, for the first start.
        jobs: After so many the process is replaced.
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
        self._loaded: Loaded | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that has CellProfiler loaded, while there is one."""
        return self._loaded.pid if self._loaded is not None else None

    def start(self, check: Check = lambda: None) -> None:
        """Load CellProfiler and wait until it can take a job.

        Raises:
            InterruptedJobError: As `check` does; the start is given up.
        """
        self._get(self._plugins, check)

    def close(self) -> None:
        """End CellProfiler and all that it has started."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.kill()

    def run(
        self,
        call: Call,
        temporary: Path,
        timeout: float,
        check: Check,
        line: Callable[[str], None],
    ) -> Ended:
        """Run CellProfiler for one job; takes, gives and raises what `command_line.run` does."""
        loaded = self._get(call.plugins, check)
        if loaded is None:
            return command_line.run(call, temporary, timeout, check, line)
        for text in (shlex.join(call.words()), *loaded.said):
            line(text)
        ended = _run(loaded, call, temporary, timeout, check, line)
        self._renew(loaded)
        return ended

    def _get(self, plugins: Path | None, check: Check) -> Loaded | None:
        """A process that can take a job; None when the command line has to."""
        if not self._warm:
            return None
        loaded = self._loaded
        if loaded is not None and (loaded.plugins != plugins or not loaded.alive):
            self.close()
        if self._loaded is None:
            self._loaded = Loaded(plugins)
        try:
            self._loaded.wait_until_ready(check)
        except InterruptedJobError:
            self.close()
            raise
        except GoneError as gone:
            self._give_up(self._loaded, gone)
            return None
        self._failed_starts = 0
        return self._loaded

    def _give_up(self, loaded: Loaded, gone: GoneError) -> None:
        said = loaded.last_lines()
        self.close()
        self._failed_starts += 1
        self._warm = self._failed_starts < _MOST_FAILED_STARTS
        self._log.warning(
            "CellProfiler cannot be kept loaded (%s): its command line is run%s. It said:\n%s",
            gone,
            "" if self._warm else " from now on",
            said,
        )

    def _renew(self, loaded: Loaded) -> None:
        """After a job: begin another start when this process has ended or is worn."""
        grown = loaded.memory_mb > self._most_memory_mb
        if grown:
            self._log.info("CellProfiler holds %.0f MB: it is started anew.", loaded.memory_mb)
        if grown or loaded.jobs >= self._jobs or not loaded.fit:
            self.close()
            self._loaded = Loaded(loaded.plugins)


def _run(
    loaded: Loaded,
    call: Call,
    temporary: Path,
    timeout: float,
    check: Check,
    line: Callable[[str], None],
) -> Ended:
    ours, theirs = os.pipe()
    lines = process.Lines(os.fdopen(ours, "rb"), line)
    started = time.monotonic()
    try:
        end = loaded.run(call, temporary, timeout, check, theirs)
    finally:
        if not loaded.fit:
            loaded.kill()  # the job is still running, or has left something that is
        lines.finish()
    seconds = time.monotonic() - started
    return Ended(**vars(end), seconds=seconds, log=[*loaded.said, *lines.all()])
