"""A slot: runs one job after another until it is stopped.

While one job computes, the next is prefetched and the previous one is published, each on its own
thread.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from dcp_worker.slot.prefetch import Intake

if TYPE_CHECKING:
    from dcp_worker.slot.context import Workplace
    from dcp_worker.slot.held_message import Held

log = logging.getLogger("dcp_worker.slot")

# The signal to start no new jobs.
FINISH = signal.SIGUSR1
# Exit status of a slot on an unfit machine; the supervisor does not replace it.
UNFIT = 3
# Folder beside the slots' folders, shared by all slots.
CACHE = "cache"


class Receipts:
    """Reports the messages that the slot holds to the supervisor."""

    def __init__(self, supervisor: socket.socket) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._receipts: list[str] = []

    def changed(self, held: Held, at_hand: bool) -> None:
        """Report that a message was received, or is settled."""
        with self._lock:
            (self._receipts.append if at_hand else self._receipts.remove)(held.received.receipt)
            with contextlib.suppress(OSError):  # supervisor gone: this process exits, too
                self._supervisor.sendall(json.dumps(self._receipts).encode() + b"\n")


class Slot:
    """Computes the jobs of its intake, and publishes their outputs on a thread."""

    def __init__(self, work: Workplace, receipts: Receipts) -> None:
        self._work = work
        self._intake = Intake(work, receipts.changed)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="slot")
        self._publishing: Future[None] | None = None

    def run(self) -> int:
        """Run jobs until stopped, even if the queue is empty; returns the exit status."""
        work = self._work
        intake = self._threads.submit(self._intake.run)
        try:
            while not work.stop.ordered and not work.fitness.reason and not intake.done():
                held = self._intake.take()
                if held is not None and held.compute():
                    self._publish(held)
        except Exception:
            # The slot's other jobs end as on SIGTERM, so that this costs them no attempt.
            work.stop.order(work.settings.stop_seconds)
            raise
        finally:
            wait([intake, *([self._publishing] if self._publishing else [])])
        intake.result()
        if self._publishing is not None:
            self._publishing.result()
        if work.fitness.reason:
            log.error("This slot takes no more jobs: %s", work.fitness.reason)
            return UNFIT
        return 0

    def _publish(self, held: Held) -> None:
        """Publish after the previous job, so that the disk holds outputs of at most two jobs."""
        before = self._publishing
        if before is not None:
            wait([before])
        self._publishing = self._threads.submit(held.publish)
        if before is not None:
            before.result()  # raised only now: an error there must not cost this job its outputs
