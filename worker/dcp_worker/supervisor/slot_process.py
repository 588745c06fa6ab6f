"""A slot's process, seen from the supervisor: its start, its messages, its exit."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import signal
import socket
import subprocess
import sys
import time

from dcp_worker.slot.slot import EXIT_UNFIT

log = logging.getLogger(__name__)

_LONGEST_BACKOFF = 60.0
# A slot that lived this long had started well: its next failure counts as the first.
_SETTLED_SECONDS = 60.0
# A slot that died this often in a row, over minutes, cannot work on this machine.
_MOST_FAILURES = 8


def backoff(failures: int) -> float:
    """Seconds to wait before replacing a slot that died `failures` times in a row."""
    return float(min(_LONGEST_BACKOFF, 2.0 ** min(failures - 1, 10)))


class SlotProcess:
    """One slot and its current process.

    Attributes:
        number: Number of the slot, from 0.
        not_before: Earliest start (time.monotonic).
        failures: Number of deaths in a row.
        unfit: The slot cannot work on this machine and is not started again.
        receipts: Receipt handles of the messages that the slot holds.
        socket: Receives from the process; None without a process.
    """

    def __init__(self, number: int, not_before: float) -> None:
        self.number = number
        self.not_before = not_before
        self.failures = 0
        self.unfit = False
        self.receipts: list[str] = []
        self._rest = b""
        self._started = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self.socket: socket.socket | None = None

    def start(self, arguments: list[str]) -> None:
        """Start the process; if that fails, set the time of the next attempt."""
        command = [sys.executable, "-m", "dcp_worker.slot", str(self.number), *arguments]
        self._started = time.monotonic()
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(command, stdin=theirs.fileno())
        except OSError as error:  # out of memory or processes, for now
            self._failed(f"could not be started ({error})")
            return
        ours.setblocking(False)
        self.socket, self.receipts, self._rest = ours, [], b""
        log.info("Slot %d has started (process %d).", self.number, self._process.pid)

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def listen(self) -> None:
        """Read from the slot the receipts of the messages it holds, a JSON list."""
        data = self._rest
        with contextlib.suppress(BlockingIOError, ConnectionError):  # no more data, or it is dead
            while self.socket is not None:
                more = self.socket.recv(65536)
                if not more:
                    break
                data += more
        *lines, self._rest = data.split(b"\n")
        if lines:
            self.receipts = json.loads(lines[-1])

    def record_exit(self, retiring: bool) -> None:
        """Record the exit of the process and set the time of its replacement."""
        if self._process is None or self.socket is None:
            return
        self.listen()
        status = self._process.returncode
        self.socket.close()
        self._process = self.socket = None
        self.unfit = status == EXIT_UNFIT
        if self.unfit or retiring:
            self.not_before = math.inf
            log.info("Slot %d exited and will not be replaced.", self.number)
            return
        self._failed(f"exited with status {status}")

    def _failed(self, how: str) -> None:
        now = time.monotonic()
        self.failures = self.failures + 1 if now - self._started < _SETTLED_SECONDS else 1
        if self.failures >= _MOST_FAILURES:
            self.unfit, self.not_before = True, math.inf
            log.error("Slot %d %s repeatedly; it will not be replaced.", self.number, how)
            return
        seconds = backoff(self.failures)
        self.not_before = now + seconds
        log.error("Slot %d %s; it will be replaced in %.0f s.", self.number, how, seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if there is a process."""
        process = self._process  # another thread may call this while `record_exit` runs
        if process is not None:
            process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and wait until it has exited."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
