"""Prefetch: a thread receives and opens the slot's next job while the current one computes.

A slot never hoards. It prefetches only if messages are plentiful and the current job is near its
end. If the queue runs out meanwhile, it gives the prefetched job back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.slot.held_message import HeldMessage
from dcp_worker.slot.job_timing import enough_for_all

if TYPE_CHECKING:
    from dcp_worker.jobs.queue import Message
    from dcp_worker.slot.context import SlotContext

log = logging.getLogger(__name__)

_LOST_QUEUE_SECONDS = 5.0
_POLL_SECONDS = 0.2
_COUNT_SECONDS = 2.0
# SQS counts the 12 hours of a message from its receipt. A message held for long would leave its job
# less than `job_timeout`.
_HELD_SECONDS = 300.0


class Prefetcher:
    """Prepares one job at a time for computing."""

    def __init__(self, context: SlotContext, changed: Callable[[HeldMessage, bool], None]) -> None:
        """Receive nothing yet; `run` does.

        Args:
            context: Context of the slot.
            changed: Called with a message when the slot receives it (True) and when it is done.
        """
        self._context = context
        self._changed = changed
        self._turn = threading.Condition()
        self._ready: HeldMessage | None = None
        # When the current job started; None: the slot waits for a job.
        self._since: float | None = None
        # The current job takes too long: prefetch no other before it ends.
        self._enough = False
        self._received = 0

    def take(self) -> HeldMessage | None:
        """The next job for the idle slot; None if none is ready yet."""
        with self._turn:
            self._since, self._enough = None, False
            if self._ready is None:
                self._turn.wait(_POLL_SECONDS)
            ready, self._ready = self._ready, None
            if ready is not None:
                self._since = time.monotonic()
            self._turn.notify_all()
            return ready

    def run(self) -> None:
        """Receive and open messages until the slot has to stop."""
        while not self._over:
            if self._may_receive():
                received = self._receive()
                if received is not None:
                    self._open(received)

    @property
    def _over(self) -> bool:
        return self._context.stop.ordered or bool(self._context.health.reason)

    def _may_receive(self) -> bool:
        """Whether to receive one more message; waits a moment before it returns False."""
        with self._turn:
            since, at = self._since, self._context.job_times.prefetch_after
            early = since is not None and time.monotonic() - since < at
            if self._context.health.pausing or early or self._enough:
                self._turn.wait(_POLL_SECONDS)
                return False
        return since is None or self._enough_for_all()

    def _enough_for_all(self) -> bool:
        if self._counted(enough_for_all):
            return True
        self._wait(_COUNT_SECONDS)
        return False

    def _counted(self, decide: Callable[[int, int], bool]) -> bool:
        try:
            counts = self._context.queue.counts()
        except (BotoCoreError, ClientError) as error:
            log.warning("Could not count the queue's messages: %s", error)
            return False
        return decide(counts.visible, counts.in_flight)

    def _wait(self, seconds: float) -> None:
        """Wait, but only until the slot is idle or stops."""
        end = time.monotonic() + seconds
        with self._turn:
            while self._since is not None and not self._over and time.monotonic() < end:
                self._turn.wait(_POLL_SECONDS)

    def _receive(self) -> Message | None:
        try:
            return self._context.queue.receive(self._context.settings.sqs_message_visibility)
        except (BotoCoreError, ClientError) as error:
            log.warning("Could not receive a message: %s", error)
            end = time.monotonic() + _LOST_QUEUE_SECONDS
            while not self._over and time.monotonic() < end:
                time.sleep(_POLL_SECONDS)
            return None

    def _open(self, received: Message) -> None:
        self._received += 1
        folder = self._context.folder / str(self._received)
        held = HeldMessage(self._context, received, folder, lambda held: self._changed(held, False))
        self._changed(held, True)
        if held.open():
            self._hold(held)

    def _hold(self, held: HeldMessage) -> None:
        """Keep a job ready until the slot takes it or must give it back."""
        with self._turn:
            self._ready = held
            self._turn.notify_all()
        end = time.monotonic() + _HELD_SECONDS
        while self._is_ready(held):
            self._wait(_COUNT_SECONDS)
            too_long = self._ahead and time.monotonic() > end
            wanted_elsewhere = self._ahead and not self._counted(_any_visible)
            if (self._over or too_long or wanted_elsewhere) and self._withdraw(held, too_long):
                held.give_back()

    @property
    def _ahead(self) -> bool:
        with self._turn:
            return self._since is not None and self._ready is not None

    def _is_ready(self, held: HeldMessage) -> bool:
        with self._turn:
            return self._ready is held

    def _withdraw(self, held: HeldMessage, enough: bool) -> bool:
        with self._turn:
            if self._ready is held:
                self._ready, self._enough = None, enough
                return True
            return False


def _any_visible(visible: int, in_flight: int) -> bool:
    """Whether an idle slot finds a message without the one held here."""
    return visible > 0
