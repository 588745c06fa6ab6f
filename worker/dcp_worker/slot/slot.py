"""A slot: brings one job after another to its end, for ever, until it is stopped.

While one job computes, the next is fetched and the last is published, each on a thread of its own.
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

# The signal to begin nothing new.
FINISH = signal.SIGUSR1
# The exit status of a slot whose machine is unfit: it is not replaced.
UNFIT = 3
# Beside the slots' folders: what all of them use.
CACHE = "cache"


class Receipts:
    """The messages at hand, as the supervisor is told of them."""

    def __init__(self, supervisor: socket.socket) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._receipts: list[str] = []

    def changed(self, held: Held, at_hand: bool) -> None:
        """Tell that a message is at hand, or has been dealt with."""
        with self._lock:
            (self._receipts.append if at_hand else self._receipts.remove)(held.received.receipt)
            with contextlib.suppress(OSError):  # it is gone: the process ends, too
                self._supervisor.sendall(json.dumps(self._receipts).encode() + b"\n")


class Slot:
    """Computes what its intake brings, and has the outputs published."""

    def __init__(self, work: Workplace, receipts: Receipts) -> None:
        self._work = work
        self._intake = Intake(work, receipts.changed)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="slot")
        self._publishing: Future[None] | None = None

    def run(self) -> int:
        """Work until stopped; the exit status. An empty queue is no reason to leave."""
        work = self._work
        intake = self._threads.submit(self._intake.run)
        try:
            while not work.stop.ordered and not work.fitness.reason and not intake.done():
                held = self._intake.take()
                if held is not None and held.compute():
                    self._publish(held)
        except Exception:
            # The other jobs at hand end as on SIGTERM, so that it does not cost them an attempt.
            work.stop.order(work.settings.stop_seconds)
            raise
        finally:
            wait([intake, *([self._publishing] if self._publishing else [])])
        intake.result()
        if self._publishing is not None:
            self._publishing.result()
        if work.fitness.reason:
            log.error("The slot takes no more work: %s", work.fitness.reason)
            return UNFIT
        return 0

    def _publish(self, held: Held) -> None:
        """Once the outputs of the job before are published: no more than two jobs' are here."""
        before = self._publishing
        if before is not None:
            wait([before])
        self._publishing = self._threads.submit(held.publish)
        if before is not None:
            before.result()  # its error, if any, does not cost this job its outputs
