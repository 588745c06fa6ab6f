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

from dcp_worker.slot.prefetch import Prefetcher

if TYPE_CHECKING:
    from dcp_worker.slot.context import SlotContext
    from dcp_worker.slot.held_message import HeldMessage

log = logging.getLogger("dcp_worker.slot")

# The signal to start no new jobs.
DRAIN = signal.SIGUSR1
# Exit status of a slot on an unfit machine; the supervisor does not replace it.
EXIT_UNFIT = 3
# Folder beside the slots' folders, shared by all slots.
CACHE_FOLDER = "cache"


class HeldReceipts:
    """Reports the messages that the slot holds to the supervisor."""

    def __init__(self, supervisor: socket.socket) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._receipts: list[str] = []

    def changed(self, held: HeldMessage, at_hand: bool) -> None:
        """Report that a message was received, or is settled."""
        with self._lock:
            (self._receipts.append if at_hand else self._receipts.remove)(held.received.receipt)
            with contextlib.suppress(OSError):  # supervisor gone: this process exits, too
                self._supervisor.sendall(json.dumps(self._receipts).encode() + b"\n")


class Slot:
    """Computes the jobs of its prefetching, and publishes their outputs on a thread."""

    def __init__(self, context: SlotContext, receipts: HeldReceipts) -> None:
        self._context = context
        self._prefetcher = Prefetcher(context, receipts.changed)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="slot")
        self._publishing: Future[None] | None = None

    def run(self) -> int:
        """Run jobs until stopped, even if the queue is empty; returns the exit status."""
        context = self._context
        prefetching = self._threads.submit(self._prefetcher.run)
        try:
            while not context.stop.ordered and not context.health.reason and not prefetching.done():
                held = self._prefetcher.take()
                if held is not None and held.compute():
                    self._publish(held)
        except Exception:
            # The slot's other jobs end as on SIGTERM, so that this costs them no attempt.
            context.stop.order(context.settings.stop_seconds)
            raise
        finally:
            wait([prefetching, *([self._publishing] if self._publishing else [])])
        prefetching.result()
        if self._publishing is not None:
            self._publishing.result()
        if context.health.reason:
            log.error("This slot takes no more jobs: %s", context.health.reason)
            return EXIT_UNFIT
        return 0

    def _publish(self, held: HeldMessage) -> None:
        """Publish after the previous job, so that the disk holds outputs of at most two jobs."""
        before = self._publishing
        if before is not None:
            wait([before])
        self._publishing = self._threads.submit(held.publish)
        if before is not None:
            before.result()  # raised only now: an error there must not cost this job its outputs
