"""The messages of an SQS standard queue, counted in constant time.

Sources: the Amazon SQS Developer Guide ("Amazon SQS visibility timeout", "Using dead-letter
queues") and API reference (ReceiveMessage, DeleteMessage, ChangeMessageVisibility).
"""

import copy
import heapq
import itertools
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LONGEST_INVISIBILITY = 43_200.0


class HandleError(Exception):
    """A receipt handle that this queue never issued."""


class StaleError(Exception):
    """A receipt handle whose message was deleted or received again."""


class NotInFlightError(Exception):
    """A message that is visible again, so its visibility cannot be changed."""


class InvisibilityError(Exception):
    """A message would be invisible for more than 12 hours after it was received."""


@dataclass(eq=False)
class StoredMessage:
    """A message in a queue with its own key, as a copy has the same message id.

    Attributes:
        copied: Whether it can no longer be duplicated.
    """

    message: Any
    key: str
    copied: bool = False
    handle: str = ""
    received_at: float = 0.0
    wakes_at: float = 0.0


@dataclass
class MessageStore:
    """Messages that are visible, in flight, or delayed; times are those of `clock`."""

    clock: Callable[[], float] = time.monotonic
    visible: dict[str, StoredMessage] = field(default_factory=dict)
    in_flight: dict[str, StoredMessage] = field(default_factory=dict)
    delayed: dict[str, StoredMessage] = field(default_factory=dict)
    handles: dict[str, str] = field(default_factory=dict)
    _waking: list[tuple[float, int, StoredMessage]] = field(default_factory=list)
    _numbers: Any = field(default_factory=itertools.count)

    def wake(self) -> None:
        """Make messages visible after their delay or visibility timeout."""
        now = self.clock()
        while self._waking and self._waking[0][0] <= now:
            at, _, stored = heapq.heappop(self._waking)
            if stored.wakes_at != at:
                continue
            for place in (self.in_flight, self.delayed):
                if place.pop(stored.key, None) is not None:
                    self.visible[stored.key] = stored

    def seconds_to_wake(self) -> float:
        """Return the time until the next message may become visible."""
        return max(0.0, self._waking[0][0] - self.clock()) if self._waking else float("inf")

    def add(self, message: Any, delay_seconds: float = 0.0) -> None:
        """Add a message; if its copy is already here, it becomes a second copy."""
        here = (self.visible, self.in_flight, self.delayed)
        duplicate = any(message.id in place for place in here)
        stored = StoredMessage(
            message, f"{message.id} {uuid.uuid4().hex}" if duplicate else message.id
        )
        if delay_seconds > 0:
            self._sleep(stored, self.delayed, delay_seconds)
        else:
            self.visible[stored.key] = stored

    def receive(
        self,
        count: int,
        invisible_seconds: float,
        most_receives: int | None,
        twice: Callable[[], bool] = lambda: False,
    ) -> tuple[list[Any], list[Any]]:
        """Deliver messages to a consumer.

        Args:
            count: Maximum number of messages.
            invisible_seconds: The visibility timeout.
            most_receives: maxReceiveCount of the redrive policy, None without one.
            twice: Called for each received message: whether another server, which does not know of
                this delivery, delivers a copy too.

        Returns:
            The delivered messages, and those for the dead-letter queue.
        """
        self.wake()
        received: list[Any] = []
        dead: list[Any] = []
        for key, stored in list(itertools.islice(self.visible.items(), count * 10)):
            message = stored.message
            if len(received) == count:
                break
            del self.visible[key]
            if most_receives is not None and message.approximate_receive_count >= most_receives:
                self.handles.pop(stored.handle, None)
                dead.append(message)
                continue
            stored.handle, stored.received_at = uuid.uuid4().hex, self.clock()
            self.handles[stored.handle] = key
            self._sleep(stored, self.in_flight, invisible_seconds)
            message.receipt_handle = stored.handle
            received.append(message)
            if not stored.copied and twice():
                stored.copied = True
                other = StoredMessage(copy.copy(message), f"{key} {stored.handle}", copied=True)
                self.visible[other.key] = other
        return received, dead

    def delete(self, handle: str) -> None:
        """Delete the message of a receipt handle.

        With an older handle of the message, nothing is deleted and no error is raised.

        Raises:
            HandleError: The handle is not from this queue.
        """
        stored = self._stored(handle)
        if stored is not None and stored.handle == handle:
            for place in (self.visible, self.in_flight, self.delayed):
                place.pop(stored.key, None)
            stored.wakes_at = -1.0

    def change_visibility(self, handle: str, seconds: float) -> None:
        """Keep a message in flight invisible for this long from now.

        Raises:
            HandleError: The handle is not from this queue.
            StaleError: The message was deleted or received again.
            NotInFlightError: The message is visible.
            InvisibilityError: The message would be invisible for more than 12 hours in total.
        """
        self.wake()
        stored = self._stored(handle)
        if stored is None or stored.handle != handle:
            raise StaleError
        if stored.key not in self.in_flight:
            raise NotInFlightError
        if self.clock() + seconds - stored.received_at > LONGEST_INVISIBILITY:
            raise InvisibilityError
        self._sleep(stored, self.in_flight, seconds)
        self.wake()

    def clear(self) -> None:
        """Delete all messages."""
        for place in (self.visible, self.in_flight, self.delayed):
            place.clear()
        self._waking.clear()

    def _stored(self, handle: str) -> StoredMessage | None:
        if handle not in self.handles:
            raise HandleError
        key = self.handles[handle]
        for place in (self.in_flight, self.visible):
            if key in place:
                return place[key]
        return None

    def _sleep(
        self, stored: StoredMessage, place: dict[str, StoredMessage], seconds: float
    ) -> None:
        stored.wakes_at = self.clock() + seconds
        place[stored.key] = stored
        heapq.heappush(self._waking, (stored.wakes_at, next(self._numbers), stored))
