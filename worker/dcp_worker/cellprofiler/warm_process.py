"""A process that has CellProfiler loaded (`warm_child`), seen from the slot."""

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
from dcp_worker.cellprofiler.process import End

if TYPE_CHECKING:
    from dcp_worker.cellprofiler.command_line import Call
    from dcp_worker.common.cancellation import Check

PROGRAM = "dcp_worker.cellprofiler.warm_child"
_LOOK_SECONDS = 0.05
# The first start on a new machine reads its disk from S3 block by block.
_START_SECONDS = 300.0
_LAST_LINES = 20


class GoneError(Exception):
    """The process has ended, or was ended because its time was over.

    Attributes:
        end: How it ended.
    """

    def __init__(self, end: End) -> None:
        how = f"exit status {end.exit_status}" if end.signal is None else f"signal {end.signal}"
        super().__init__("it takes too long" if end.timed_out else how)
        self.end = end


class Loaded:
    """One such process.

    Attributes:
        plugins: The plugins directory that it was loaded with.
        jobs: How many it was given.
        fit: Whether it can take another.
        memory_mb: Resident memory after the last of them.
        said: What it printed while it was loading: the command line says it in every job.
    """

    def __init__(self, plugins: Path | None) -> None:
        self.plugins = plugins
        self.jobs = 0
        self.fit = True
        self.memory_mb = 0.0
        self.said: list[str] = []
        self._ready = False
        self._started = time.monotonic()
        self._socket, theirs = socket.socketpair()
        words = [sys.executable, "-m", PROGRAM, str(plugins or "")]
        with theirs:
            self._process = process.spawn(words, process.environment(os.environ), theirs.fileno())
        self._lines = process.Lines(self._process.stdout, lambda line: None)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def wait_until_ready(self, check: Check) -> None:
        """Wait for the end of the start, if it is not over.

        Raises:
            GoneError: The process has ended instead, or was ended because it took too long.
            InterruptedJobError: As `check` does.
        """
        if not self._ready:
            self.memory_mb = self._answer(self._started + _START_SECONDS, check)["rss_mb"]
            self._lines.finish()
            self.said = self._lines.all()
            self._ready = True

    def last_lines(self) -> str:
        """What it said last, of a start that has failed."""
        self._lines.finish()
        return "\n".join(self._lines.all()[-_LAST_LINES:])

    def run(self, call: Call, temporary: Path, timeout: float, check: Check, pipe: int) -> End:
        """Have a job done.

        Args:
            call: The job.
            temporary: Folder for its temporary files.
            timeout: Seconds after which the process is killed.
            check: Called while it is waited for.
            pipe: Takes what is printed; closed here.

        Returns:
            How the job ended: with the exit status of the command line, or with the process.

        Raises:
            InterruptedJobError: As `check` does. The job is still running then.
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
            # When it has just ended, the wait for the answer says how.
            with contextlib.suppress(ConnectionError):
                socket.send_fds(self._socket, [json.dumps(job).encode() + b"\n"], [pipe])
        finally:
            os.close(pipe)
        try:
            answer = self._answer(end, check)
        except GoneError as gone:
            return gone.end
        self.fit, self.memory_mb = answer["fit"], answer["rss_mb"]
        return End(answer["status"], None, False, answer["peak_mb"])

    def _answer(self, end: float, check: Check) -> Any:
        data, timed_out = b"", False
        while True:
            # Before all else: an answer counts that came while nobody was waiting for it.
            if select.select([self._socket], [], [], _LOOK_SECONDS)[0]:
                with contextlib.suppress(ConnectionError):
                    data += self._socket.recv(1 << 16)
            if data.endswith(b"\n") and not timed_out:
                return json.loads(data)
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                # Popen cannot know: wait4, which tells the memory, has reaped it.
                self._process.returncode = os.waitstatus_to_exitcode(status)
                raise GoneError(End.of(status, usage, timed_out))
            if time.monotonic() > end:
                timed_out = True
                process.kill(self.pid)
            check()

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it with all that it has started."""
        process.kill(self.pid)
        self._process.wait()
        self._socket.close()
