"""The slot's warm CellProfiler: a child process that runs one job after the other.

What a job can bring down is the child alone. It is replaced after a number of jobs, when it has
grown, and after whatever ended it; while none can be had, the command line does the work.
"""

from __future__ import annotations

import json
import logging
import os
import select
import shlex
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcp_worker import cellprofiler, process
from dcp_worker.cellprofiler import Call, Ended
from dcp_worker.interruption import InterruptedJobError

if TYPE_CHECKING:
    from dcp_worker.interruption import Check

_LOOK_SECONDS = 0.05
# Of the first start on a new machine, whose disk comes from S3 block by block.
_START_SECONDS = 300.0
_MOST_FAILED_STARTS = 2
# Of the slot's memory, what a child may keep between jobs: the next one needs room to work.
_MEMORY_SHARE = 0.6


class ChildGoneError(Exception):
    """The child has ended; says how.

    Attributes:
        exit_status: None when a signal ended it.
        signal: None when it ended by itself.
        peak_memory_mb: Of its whole life.
    """

    def __init__(self, status: int, peak_memory_mb: float) -> None:
        code = os.waitstatus_to_exitcode(status)
        super().__init__(f"signal {-code}" if code < 0 else f"exit status {code}")
        self.exit_status = code if code >= 0 else None
        self.signal = -code if code < 0 else None
        self.peak_memory_mb = peak_memory_mb


class _Child:
    """One child process, seen from the slot."""

    def __init__(self, plugins: Path | None) -> None:
        self.plugins = plugins
        self.jobs = 0
        self.memory_mb = 0.0
        self.said: list[str] = []
        self._ready = False
        self._started = time.monotonic()
        self._socket, theirs = socket.socketpair()
        words = [sys.executable, "-m", "dcp_worker.child", str(plugins or "")]
        with theirs:
            self._process = process.spawn(words, process.environment(os.environ), theirs.fileno())
        self._lines = process.Lines(self._process.stdout, lambda line: None)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self, check: Check) -> None:
        """Wait for the end of the start.

        Raises:
            ChildGoneError: It has ended instead, or was ended because it took too long.
            InterruptedJobError: As `check` does.
        """
        if self._ready:
            return
        self.memory_mb = self._answer(self._started + _START_SECONDS, check)["rss_mb"]
        self._lines.finish()
        self.said = self._lines.all()
        self._ready = True

    def run(self, call: Call, temporary: Path, end: float, check: Check, pipe: int) -> Any:
        """Have a job done, until a time of the monotonic clock; the child's answer.

        Raises:
            ChildGoneError: The child has ended, or was ended at that time.
            InterruptedJobError: As `check` does.
        """
        job = {
            "arguments": call.arguments(),
            "temporary": str(temporary),
            "numbering": call.numbering and str(call.numbering),
        }
        self.jobs += 1
        try:
            socket.send_fds(self._socket, [json.dumps(job).encode() + b"\n"], [pipe])
        except OSError:
            pass  # it has ended: the answer says how
        finally:
            os.close(pipe)
        answer = self._answer(end, check)
        self.memory_mb = answer["rss_mb"]
        return answer

    def _answer(self, end: float, check: Check) -> Any:
        data = b""
        while not data.endswith(b"\n"):
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                raise ChildGoneError(status, process.megabytes(usage.ru_maxrss))
            if time.monotonic() > end:
                process.kill(self.pid)
            check()
            if select.select([self._socket], [], [], _LOOK_SECONDS)[0]:
                data += self._socket.recv(1 << 16)
        return json.loads(data)

    def last_lines(self) -> str:
        """What it said last of its start."""
        self._lines.finish()
        return "\n".join(self._lines.all()[-20:])

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it with all that it has started."""
        process.kill(self.pid)
        self._process.wait()
        self._socket.close()


class Engine:
    """Runs the jobs of a slot.

    Args:
        warm: False: each job by the command line.
        memory_mb: The slot's share of the container's memory; 0: not known, no bound.
        log: Takes what concerns no single job.
        plugins: Plugins directory, if any, for the first start.
        jobs: After so many the child is replaced.
    """

    def __init__(
        self,
        warm: bool,
        memory_mb: float,
        log: logging.Logger,
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
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Start the child and wait until it can take a job."""
        self._ready(self._plugins, lambda: None)

    def close(self) -> None:
        """End the child and all that it has started."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def run(
        self,
        call: Call,
        temporary: Path,
        timeout: float,
        check: Check,
        line: Callable[[str], None],
    ) -> Ended:
        """Run CellProfiler for one job.

        Args:
            call: What to run.
            temporary: Folder for its temporary files, and its working directory.
            timeout: Seconds after which it is killed.
            check: Raises when the job is interrupted; CellProfiler is killed then.
            line: Takes each line that it prints, with what was run as the first.

        Raises:
            InterruptedJobError: As `check` does.
            OSError: The whole CSV cannot be written.
        """
        child = self._ready(call.plugins, check)
        if child is None:
            return cellprofiler.run(call, temporary, timeout, check, line)
        line(shlex.join(call.words()))
        for said in child.said:
            line(said)
        ours, theirs = os.pipe()
        lines = process.Lines(os.fdopen(ours, "rb"), line)
        started = time.monotonic()
        exit_status: int | None
        signal: int | None
        try:
            answer = child.run(call, temporary, started + timeout, check, theirs)
            exit_status, signal, peak = answer["status"], None, answer["peak_mb"]
        except ChildGoneError as gone:
            exit_status, signal, peak = gone.exit_status, gone.signal, gone.peak_memory_mb
        except InterruptedJobError:
            self.close()
            raise
        finally:
            if not child.alive():
                self.close()
            lines.finish()
        seconds = time.monotonic() - started
        self._renew(child)
        return Ended(
            exit_status=exit_status,
            signal=signal,
            timed_out=signal is not None and seconds > timeout,
            seconds=seconds,
            peak_memory_mb=peak,
            log=[*child.said, *lines.all()],
        )

    def _renew(self, child: _Child) -> None:
        """After a job: begin the start of another child when this one is worn."""
        grown = child.memory_mb > self._most_memory_mb
        if self._child is not None and (child.jobs >= self._jobs or grown):
            if grown:
                self._log.info("CellProfiler is replaced: it holds %.0f MB.", child.memory_mb)
            self.close()
        if self._child is None:
            self._child = _Child(child.plugins)

    def _ready(self, plugins: Path | None, check: Check) -> _Child | None:
        """A child that can take a job; None when the command line has to."""
        if not self._warm:
            return None
        child = self._child
        if child is not None and (child.plugins != plugins or not child.alive()):
            self.close()
        if self._child is None:
            self._child = _Child(plugins)
        try:
            self._child.wait_until_ready(check)
        except InterruptedJobError:
            self.close()
            raise
        except ChildGoneError as gone:
            said = self._child.last_lines()
            self.close()
            self._failed_starts += 1
            self._warm = self._failed_starts < _MOST_FAILED_STARTS
            self._log.warning(
                "CellProfiler cannot be kept loaded (%s); its command line is run instead%s.\n%s",
                gone,
                "" if self._warm else " from now on",
                said,
            )
            return None
        self._failed_starts = 0
        return self._child
