"""A process with CellProfiler loaded (`warm_child`), seen from the slot."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcp_worker.cellprofiler import process
from dcp_worker.cellprofiler.process import ProcessEnd

if TYPE_CHECKING:
    from dcp_worker.cellprofiler.command_line import CellProfilerCall
    from dcp_worker.common.cancellation import Check

PROGRAM = "dcp_worker.cellprofiler.warm_child"
_POLL_SECONDS = 0.05
# On a new machine, the first start reads the disk block by block from S3.
_START_SECONDS = 300.0
_LAST_LINES = 20


class ProcessGoneError(Exception):
    """The process has exited, or was killed because it exceeded its time limit.

    Attributes:
        end: How it ended.
    """

    def __init__(self, end: ProcessEnd) -> None:
        how = f"exit status {end.exit_status}" if end.signal is None else f"signal {end.signal}"
        super().__init__("timed out" if end.timed_out else how)
        self.end = end


class WarmProcess:
    """One process with CellProfiler loaded.

    Attributes:
        plugins: Plugins directory that it was loaded with.
        jobs: Number of jobs that it was given.
        fit: Whether it can take another job.
        memory_mb: Resident memory after the last job.
        start_lines: Lines printed while loading; the command line prints them in every job.
    """

    def __init__(self, plugins: Path | None) -> None:
        self.plugins = plugins
        self.jobs = 0
        self.fit = True
        self.memory_mb = 0.0
        self.start_lines: list[str] = []
        self._ready = False
        self._started = time.monotonic()
        self._socket, theirs = socket.socketpair()
        words = [sys.executable, "-m", PROGRAM, str(plugins or "")]
        with theirs:
            self._process = process.spawn(words, process.environment(os.environ), theirs.fileno())
        self._lines = process.OutputLines(self._process.stdout, lambda line: None)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def wait_until_ready(self, check: Check) -> None:
        """Wait until CellProfiler is loaded.

        Raises:
            ProcessGoneError: The process exited instead, or took too long and was killed.
            InterruptedJobError: Raised by `check`.
        """
        if not self._ready:
            self.memory_mb = self._answer(self._started + _START_SECONDS, check)["rss_mb"]
            self._lines.finish()
            self.start_lines = self._lines.all()
            self._ready = True

    def last_lines(self) -> str:
        """The last lines that a failed start printed."""
        self._lines.finish()
        return "\n".join(self._lines.all()[-_LAST_LINES:])

    def run(
        self, call: CellProfilerCall, temporary: Path, timeout: float, check: Check, pipe: int
    ) -> ProcessEnd:
        """Run a job.

        Args:
            call: The job.
            temporary: Folder for its temporary files.
            timeout: Seconds after which the process is killed.
            check: Called repeatedly while the job runs.
            pipe: Receives the output of the job; closed here.

        Returns:
            The end of the job, or of the process if that ended first.

        Raises:
            InterruptedJobError: Raised by `check`. The job is then still running.
        """
        job = {
            "arguments": call.arguments(),
            "temporary": str(temporary),
            "numbering": str(call.numbering) if call.numbering else None,
        }
        self.jobs += 1
        self.fit = False
        end = time.monotonic() + timeout
        try:
            # If the process has just exited, `_answer` reports how.
            with contextlib.suppress(ConnectionError):
                socket.send_fds(self._socket, [json.dumps(job).encode() + b"\n"], [pipe])
        finally:
            os.close(pipe)
        try:
            answer = self._answer(end, check)
        except ProcessGoneError as gone:
            return gone.end
        self.fit, self.memory_mb = answer["fit"], answer["rss_mb"]
        return ProcessEnd(answer["status"], None, False, answer["peak_mb"])

    def _answer(self, end: float, check: Check) -> Any:
        data, timed_out = b"", False
        while True:
            # Before the timeout check: an answer counts even if it arrived while nobody waited.
            if select.select([self._socket], [], [], _POLL_SECONDS)[0]:
                with contextlib.suppress(ConnectionError):
                    data += self._socket.recv(1 << 16)
            if data.endswith(b"\n") and not timed_out:
                return json.loads(data)
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                # Popen does not know: wait4, which also returns the memory, has reaped it.
                self._process.returncode = os.waitstatus_to_exitcode(status)
                raise ProcessGoneError(ProcessEnd.of(status, usage, timed_out))
            if time.monotonic() > end:
                timed_out = True
                process.kill(self.pid)
            check()

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the process and all that it started."""
        process.kill(self.pid)
        self._process.wait()
        self._socket.close()
