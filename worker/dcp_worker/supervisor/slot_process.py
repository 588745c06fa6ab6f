"""A slot's process, seen from the supervisor: its start, what it says, its end."""

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

from dcp_worker.slot.slot import UNFIT

log = logging.getLogger(__name__)

_LONGEST_BACKOFF = 60.0
# A slot that lived so long had started well: the next failure counts as its first.
_SETTLED_SECONDS = 60.0
# A slot that has died so often in a row, over minutes, will not live on this machine.
_MOST_FAILURES = 8


def backoff(failures: int) -> float:
    """Seconds to wait before a slot is replaced that has died so many times in a row."""
    return float(min(_LONGEST_BACKOFF, 2.0 ** min(failures - 1, 10)))


class SlotProcess:
    """One slot, and the process that is it for now.

    Attributes:
        number: Of the slot, from 0.
        not_before: When it may be started (time.monotonic).
        failures: How often it has died in a row.
        unfit: It is not started again on this machine.
        receipts: Of the messages at hand.
        socket: What it is heard by; None while there is no process.
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
        """Start the process; when that cannot be, note when to try again."""
        command = [sys.executable, "-m", "dcp_worker.slot", str(self.number), *arguments]
        self._started = time.monotonic()
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(command, stdin=theirs.fileno())
        except OSError as error:  # no memory, or too many processes, for now
            self._failed(f"cannot be started ({error})")
            return
        ours.setblocking(False)
        self.socket, self.receipts, self._rest = ours, [], b""
        log.info("Slot %d has started (process %d).", self.number, self._process.pid)

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def listen(self) -> None:
        """Take what the slot says: the receipts of the messages it holds, a list in JSON."""
        data = self._rest
        with contextlib.suppress(BlockingIOError, ConnectionError):  # nothing more, or it is dead
            while self.socket is not None:
                more = self.socket.recv(65536)
                if not more:
                    break
                data += more
        *lines, self._rest = data.split(b"\n")
        if lines:
            self.receipts = json.loads(lines[-1])

    def bury(self, retiring: bool) -> None:
        """Note the death and when to replace the slot."""
        if self._process is None or self.socket is None:
            return
        self.listen()
        status = self._process.returncode
        self.socket.close()
        self._process = self.socket = None
        self.unfit = status == UNFIT
        if self.unfit or retiring:
            self.not_before = math.inf
            log.info("Slot %d has ended and is not replaced.", self.number)
            return
        self._failed(f"has ended with status {status}")

    def _failed(self, how: str) -> None:
        now = time.monotonic()
        self.failures = self.failures + 1 if now - self._started < _SETTLED_SECONDS else 1
        if self.failures >= _MOST_FAILURES:
            self.unfit, self.not_before = True, math.inf
            log.error("Slot %d %s, again and again; it is not replaced.", self.number, how)
            return
        seconds = backoff(self.failures)
        self.not_before = now + seconds
        log.error("Slot %d %s; it is replaced in %.0f s.", self.number, how, seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if there is a process."""
        process = self._process  # another thread may ask, while this one buries it
        if process is not None:
            process.send_signal(number)

    def kill(self) -> None:
        """End the process, whatever it does, and wait until it has ended."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
