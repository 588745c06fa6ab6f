"""A slot: one process that takes one message at a time, for ever, until SIGTERM.

The supervisor runs it as `python -m dcp_worker.slot NUMBER INSTANCE_ID PLUGINS` with a socket as
standard input: the socket's end tells the slot that the supervisor is gone, and through it the
slot says which message it holds.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker import attempt, handling, logs
from dcp_worker.attempt import Bench
from dcp_worker.aws import Clients
from dcp_worker.handling import Workplace
from dcp_worker.inputs import Sources
from dcp_worker.load_data import MOUNT
from dcp_worker.queue import Message, Queue
from dcp_worker.settings import Settings

if TYPE_CHECKING:
    from types import FrameType

log = logging.getLogger("dcp_worker.slot")

# A slot that has not ended so long after it was told to is ended by the kernel; SQS then returns
# its message. ECS waits 120 s between SIGTERM and SIGKILL (stopTimeout).
LAST_SECONDS = 30
_LOST_QUEUE_SECONDS = 5
_LOOK_SECONDS = 0.2
_LOG_SECONDS = 3
_FIRST_REST = 15.0
_LONGEST_REST = 300.0


def rest(faults: int) -> float:
    """Seconds without a job after so many jobs in a row that failed by the machine's fault.

    A machine whose disk is full fails a job a second, and would fail a whole queue for ever while
    sound machines are busy.
    """
    return float(min(_LONGEST_REST, _FIRST_REST * 2.0 ** min(faults - 1, 10))) if faults else 0.0


class Slot:
    """Takes messages until it is told to stop."""

    def __init__(self, work: Workplace, supervisor: socket.socket) -> None:
        self._work = work
        self._supervisor = supervisor
        self.stopping = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Take no further message and give back the one at hand: the handler of SIGTERM."""
        if not self.stopping:
            self.stopping = True
            signal.alarm(LAST_SECONDS)

    def run(self) -> None:
        """Work until stopped. An empty queue is no reason to leave: messages come back."""
        faults = 0
        while not self.stopping:
            received = self._receive()
            if received is not None:
                self._tell(received.receipt)
                fit = handling.handle(self._work, received, lambda: self.stopping)
                self._tell("")
                faults = 0 if fit else faults + 1
                self._pause(rest(faults))

    def _pause(self, seconds: float) -> None:
        if seconds:
            log.warning("No job is taken for %.0f s.", seconds)
        end = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)

    def _receive(self) -> Message | None:
        try:
            return self._work.queue.receive(self._work.bench.settings.visibility)
        except (BotoCoreError, ClientError) as error:
            log.warning("The queue cannot be read: %s", error)
            self._pause(_LOST_QUEUE_SECONDS)
            return None

    def _tell(self, receipt: str) -> None:
        try:
            self._supervisor.sendall(f"{receipt}\n".encode())
        except OSError:
            self.stopping = True  # the supervisor is gone


def _leave_with(supervisor: socket.socket) -> None:
    """Stop when the supervisor's end of the socket closes, however it died."""
    supervisor.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _workplace(number: int, instance_id: str, plugins: str) -> Workplace:
    settings = Settings.from_environment(os.environ)
    clients = Clients.of(settings.region)
    bench = Bench(
        settings=settings,
        s3=clients.s3,
        folder=Path.cwd() / f"slot{number}",
        sources=Sources(
            source=settings.source_bucket,
            workspace=settings.workspace_bucket,
            mounted=not settings.download_files and os.path.isdir(MOUNT),
        ),
        plugins=Path(plugins) if plugins else None,
    )
    queue = Queue(clients.sqs, settings.queue_url, settings.dead_letter_queue_url)
    return Workplace(clients, queue, bench, instance_id)


def main(arguments: list[str]) -> None:
    """Run the slot that the supervisor asks for."""
    number, instance_id, plugins = arguments
    logs.to_stdout(f"slot {number}")
    work = _workplace(int(number), instance_id, plugins)
    attempt.remove(work.bench.folder)  # of a slot that died in mid-job
    supervisor = socket.socket(fileno=0)
    slot = Slot(work, supervisor)
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, slot.stop)
    threading.Thread(target=_leave_with, args=(supervisor,), daemon=True).start()
    slot.run()
    for thread in threading.enumerate():
        if thread.name == "job log":
            thread.join(_LOG_SECONDS)
    sys.stdout.flush()
    # Not through the interpreter's end, which would wait for a log service that does not answer.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
