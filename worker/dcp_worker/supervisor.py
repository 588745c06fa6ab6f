"""The container's main process: starts the slots, replaces those that die, ends them all.

It computes nothing and holds no message, so that nothing a job does can take it down.
"""

from __future__ import annotations

import logging
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker import attempt
from dcp_worker.slot import LAST_SECONDS

if TYPE_CHECKING:
    from types import FrameType

    from mypy_boto3_sqs import SQSClient

    from dcp_worker.protection import Protection
    from dcp_worker.settings import Settings

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_LONGEST_BACKOFF = 60.0
# A slot that lived so long had started well: the next failure counts as its first.
_SETTLED_SECONDS = 60.0


def backoff(failures: int) -> float:
    """Seconds to wait before a slot is replaced that has died so many times in a row."""
    return float(min(_LONGEST_BACKOFF, 2.0 ** min(failures - 1, 10)))


class _Slot:
    """A slot process, seen from outside."""

    def __init__(self, number: int, not_before: float) -> None:
        self.number = number
        self.not_before = not_before
        self.failures = 0
        self.receipt = ""
        self._rest = b""
        self._started = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self.socket: socket.socket | None = None

    def start(self, arguments: list[str]) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "dcp_worker.slot", str(self.number), *arguments]
        with theirs:
            self._process = subprocess.Popen(command, stdin=theirs.fileno())
        ours.setblocking(False)
        self.socket, self.receipt, self._rest = ours, "", b""
        self._started = time.monotonic()
        log.info("Slot %d has started (process %d).", self.number, self._process.pid)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def listen(self) -> None:
        """Take what the slot says: the receipt of the message it holds, or an empty line."""
        if self.socket is None:
            return
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self.receipt = lines[-1].decode()

    def bury(self) -> None:
        """Note the death and when to replace the slot."""
        if self._process is None or self.socket is None:
            return
        now = time.monotonic()
        self.listen()
        self.failures = self.failures + 1 if now - self._started < _SETTLED_SECONDS else 1
        self.not_before = now + backoff(self.failures)
        log.error(
            "Slot %d has ended with status %d; it is replaced in %.0f s.",
            self.number,
            self._process.returncode,
            self.not_before - now,
        )
        self.socket.close()
        self._process = self.socket = None

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.alive:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the process, whatever it does, and wait until it has ended."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()


class Supervisor:
    """Keeps the slots of the container running until SIGTERM."""

    def __init__(
        self,
        settings: Settings,
        sqs: SQSClient,
        protection: Protection,
        instance_id: str,
        plugins: Path | None,
    ) -> None:
        now = time.monotonic()
        self._slots = [
            _Slot(number, now + number * settings.seconds_to_start)
            for number in range(settings.slots)
        ]
        self._queue_url = settings.queue_url
        self._sqs = sqs
        self._protection = protection
        self._arguments = [instance_id, str(plugins or "")]
        self._stopping = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """End all slots: the handler of SIGTERM."""
        self._stopping = True

    def run(self) -> None:
        """Supervise until stopped; on return no process and no local file is left."""
        while not self._stopping:
            for slot in self._slots:
                self._look_after(slot)
            self._protection.set(any(slot.receipt for slot in self._slots))
            self._listen()
        log.info("Stopping: every slot returns its message.")
        self._end()

    def _look_after(self, slot: _Slot) -> None:
        if slot.socket is None:
            if time.monotonic() >= slot.not_before:
                slot.start(self._arguments)
        elif not slot.alive:
            slot.bury()
            self._return(slot)

    def _return(self, slot: _Slot) -> None:
        """Give back the message of a slot that was killed, so that it need not time out."""
        receipt, slot.receipt = slot.receipt, ""
        if not receipt:
            return
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=receipt, VisibilityTimeout=0
            )
        except (BotoCoreError, ClientError) as error:
            log.warning("The message of slot %d could not be returned: %s", slot.number, error)

    def _listen(self) -> None:
        sockets = {slot.socket: slot for slot in self._slots if slot.socket is not None}
        readable, _, _ = select.select(list(sockets), [], [], _LOOK_SECONDS)
        for ready in readable:
            sockets[ready].listen()

    def _end(self) -> None:
        for slot in self._slots:
            slot.signal(signal.SIGTERM)
        limit = time.monotonic() + LAST_SECONDS + 5
        while any(slot.alive for slot in self._slots) and time.monotonic() < limit:
            time.sleep(0.05)
        for slot in self._slots:
            slot.kill()
            slot.listen()
            self._return(slot)
        for slot in self._slots:
            _clear(slot.number)


def _clear(slot: int) -> None:
    """Remove the files of a slot that has ended."""
    try:
        attempt.remove(Path.cwd() / f"slot{slot}")
    except OSError as error:
        log.warning("The files of slot %d could not be removed: %s", slot, error)
