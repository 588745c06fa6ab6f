"""SQS with stored counts, instead of moto's list of messages that is counted at every call."""

import copy
import time
from typing import Any

import moto.sqs.models as sqs
from moto.core.utils import unix_time_millis
from moto.sqs.exceptions import (
    InvalidParameterValue,
    QueueDoesNotExist,
    ReceiptHandleIsInvalid,
    SQSException,
)

from deployments.local.emulator.core.state import EmulatorState
from deployments.local.emulator.sqs.lagging_counts import CountHistory, Counts
from deployments.local.emulator.sqs.message_store import (
    HandleError,
    InvisibilityError,
    MessageStore,
    NotInFlightError,
    StaleError,
)

LONGEST_WAIT = 1.0


class EmulatedQueue(sqs.Queue):
    """moto's queue, with its attributes and policies, on top of a `MessageStore`.

    Switches make its counts late or too low, and deliver messages twice.
    Sources: GetQueueAttributes in the Amazon SQS API Reference (the counts may take a minute and
    more to be consistent), "Amazon SQS at-least-once delivery" and "Amazon SQS short and long
    polling" in the Amazon SQS Developer Guide.
    """

    emulator: EmulatorState

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        if self.fifo_queue:
            raise InvalidParameterValue("FIFO queues are not emulated")
        self.store = MessageStore()
        self.noted = CountHistory()
        self.note_counts()

    def _counts(self) -> Counts:
        self.store.wake()
        return len(self.store.visible), len(self.store.in_flight), len(self.store.delayed)

    def note_counts(self) -> None:
        """Record the counts, if they are reported late."""
        if not self.emulator.chaos.count_lag:
            self.noted.clear()
            return
        with self._messages_lock:
            self.noted.note(time.monotonic(), self._counts())

    def _count(self, which: int) -> int:
        lag = self.emulator.chaos.count_lag
        with self._messages_lock:
            counts = self._counts()
            if lag:
                self.noted.note(time.monotonic(), counts)
                counts = self.noted.as_of(time.monotonic() - lag)
        if not self.emulator.happens("low_counts"):
            return counts[which]
        # The messages of servers that did not answer are missing.
        share = self.emulator.chaos.roll("low_counts of", self.emulator.number("low_counts of"))
        return int(share * counts[which])

    @property
    def approximate_number_of_messages(self) -> int:
        """Number of visible messages."""
        return self._count(0)

    @property
    def approximate_number_of_messages_not_visible(self) -> int:
        """Number of messages in flight."""
        return self._count(1)

    @property
    def approximate_number_of_messages_delayed(self) -> int:
        """Number of delayed messages."""
        return self._count(2)

    def add_message(self, message: Any) -> None:
        """Add a message and notify waiting receivers."""
        delay = (message.delayed_until - unix_time_millis()) / 1000
        with self._messages_lock:
            self.store.add(message, delay)
            self._messages_lock.notify_all()

    def delete_message(self, receipt_handle: str) -> None:
        """Delete the message of a receipt handle.

        Raises:
            ReceiptHandleIsInvalid: The handle is not from this queue.
        """
        with self._messages_lock:
            try:
                self.store.delete(receipt_handle)
            except HandleError:
                raise ReceiptHandleIsInvalid from None

    def receive(self, count: int, invisible_seconds: float) -> list[Any]:
        """Receive without waiting; move messages received too often to the dead-letter queue."""
        policy = self.redrive_policy if self.dead_letter_queue else None
        most = policy["maxReceiveCount"] if policy else None
        with self._messages_lock:
            received, dead = self.store.receive(
                count, invisible_seconds, most, lambda: self.emulator.happens("duplicates")
            )
            for message in received:
                message.approximate_receive_count += 1
                if not message.approximate_first_receive_timestamp:
                    message.approximate_first_receive_timestamp = int(unix_time_millis())
            copies = [copy.copy(message) for message in received]
        if self.dead_letter_queue is not None:
            for message in dead:
                self.dead_letter_queue.add_message(message)
        return copies

    def wait(self, seconds: float) -> None:
        """Wait until a message may have become visible."""
        with self._messages_lock:
            if not self.store.visible:
                until = min(seconds, self.store.seconds_to_wake(), LONGEST_WAIT)
                self._messages_lock.wait(until)

    def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        """Keep a message in flight invisible for this long from now.

        Raises:
            SQSException: As in ChangeMessageVisibility of the Amazon SQS API reference.
        """
        reason = ""
        with self._messages_lock:
            try:
                self.store.change_visibility(receipt_handle, seconds)
                self._messages_lock.notify_all()
            except HandleError:
                raise ReceiptHandleIsInvalid from None
            except NotInFlightError:
                text = "The specified message is not in flight."
                raise SQSException("MessageNotInflight", text) from None
            except StaleError:
                reason = "Message does not exist or is not available for visibility timeout change."
            except InvisibilityError:
                reason = (
                    "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
                )
        if reason:
            text = f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: {reason}"
            raise InvalidParameterValue(text)


def receive_message(
    self: Any,
    queue_name: str,
    count: int,
    wait_seconds_timeout: int,
    visibility_timeout: int,
    message_attribute_names: list[str] | None = None,
) -> list[Any]:
    """Receive messages, waiting for the first; as a method of moto's backend."""
    end = time.monotonic() + wait_seconds_timeout
    while True:
        queue = self.queues.get(queue_name)
        if queue is None:
            raise QueueDoesNotExist
        # A short poll queries only some of the servers.
        missed = not wait_seconds_timeout and queue.emulator.happens("empty_receives")
        messages: list[Any] = [] if missed else queue.receive(count, visibility_timeout)
        left = end - time.monotonic()
        if messages or left <= 0:
            break
        queue.wait(left)
    for message in messages:
        sqs._filter_message_attributes(message, message_attribute_names or [])
    return messages


def change_message_visibility(
    self: Any, queue_name: str, receipt_handle: str, visibility_timeout: int
) -> None:
    """Change a message's visibility; as a method of moto's backend."""
    self.get_queue(queue_name).change_visibility(receipt_handle, int(visibility_timeout))


def change_message_visibility_batch(
    self: Any, queue_name: str, entries: list[dict[str, Any]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Change several messages' visibility, each on its own; as a method of moto's backend."""
    done: list[str] = []
    failed: list[dict[str, Any]] = []
    for entry in entries:
        try:
            seconds = int(entry["VisibilityTimeout"])
            self.change_message_visibility(queue_name, entry["ReceiptHandle"], seconds)
            done.append(entry["Id"])
        except SQSException as error:
            text = {"Code": error.code, "Message": error.message}
            failed.append({"Id": entry["Id"], "SenderFault": True, **text})
    return done, failed


def purge_queue(self: Any, queue_name: str) -> None:
    """Delete all messages of a queue; as a method of moto's backend."""
    queue = self.get_queue(queue_name)
    with queue._messages_lock:
        queue.store.clear()


def block_deleted_names(seconds: float) -> None:
    """Block the name of a deleted queue for this many seconds.

    Source: CreateQueue in the Amazon SQS API Reference, `QueueDeletedRecently`.
    """
    create, delete = sqs.SQSBackend.create_queue, sqs.SQSBackend.delete_queue
    free_at: dict[tuple[str, str], float] = {}

    def create_queue(self: Any, name: str, *arguments: Any, **attributes: Any) -> Any:
        if time.monotonic() < free_at.get((self.region_name, name), 0.0):
            raise SQSException(
                "AWS.SimpleQueueService.QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another "
                "with the same name.",
            )
        return create(self, name, *arguments, **attributes)

    def delete_queue(self: Any, queue_name: str) -> None:
        delete(self, queue_name)
        free_at[(self.region_name, queue_name)] = time.monotonic() + seconds

    for method in (create_queue, delete_queue):
        setattr(sqs.SQSBackend, method.__name__, method)


def replace(emulator: EmulatorState) -> None:
    """Make moto's SQS use `EmulatedQueue`."""
    block_deleted_names(emulator.settings.deleted_seconds)
    EmulatedQueue.emulator = emulator
    setattr(sqs, "Queue", EmulatedQueue)  # noqa: B010 - mypy rejects a plain assignment
    for method in (
        receive_message,
        change_message_visibility,
        change_message_visibility_batch,
        purge_queue,
    ):
        setattr(sqs.SQSBackend, method.__name__, method)
