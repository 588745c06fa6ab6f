"""The job queue: receiving, holding, returning, deleting and dead-lettering a message."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.common.settings import LONGEST_INVISIBILITY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

log = logging.getLogger(__name__)

# How long one long poll waits. SQS may give a message to a poll whose worker has gone, and the
# message then stays hidden for its whole visibility timeout: so a stopping slot ends its poll
# before it leaves, and the poll is short enough not to delay the end.
POLL_SECONDS = 3
# Longer than a poll, so that a message returned by one slot of a stopping container is not
# received (and counted as an attempt) by the last poll of another.
RETURN_SECONDS = POLL_SECONDS + 1
# On a copy of a message: the attempts before it, and that its job was begun before.
_ATTEMPTS, _BEGUN = "dcp_attempts", "dcp_begun"
# SQS's answers when the queue is deleted, and when a message is no longer ours.
NO_QUEUE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
_LOST = (
    *NO_QUEUE,
    "ReceiptHandleIsInvalid",
    "MessageNotInflight",
    "InvalidParameterValue",
    "AWS.SimpleQueueService.MessageNotInflight",
)


@dataclass(frozen=True)
class Message:
    """A received message.

    Attributes:
        attempt: How often it has been received to be worked on, this time included.
        attributes: Its message attributes that are text.
        fresh: No worker has had it before, under this message id or another.
        waited: Seconds between its sending and this receipt.
        received_at: Clock (time.monotonic) before the receipt.
    """

    body: str
    message_id: str
    receipt: str
    attempt: int
    attributes: Mapping[str, str]
    fresh: bool
    waited: float
    received_at: float


@dataclass(frozen=True)
class Counts:
    """Messages in a queue: to be had, in work, and not to be had yet."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def none(self) -> bool:
        """Whether it held nothing at all."""
        return not (self.visible or self.in_flight or self.delayed)


def counts(client: SQSClient, url: str) -> Counts:
    """How many messages a queue has, roughly (GetQueueAttributes, SQS API)."""
    names: list[QueueAttributeNameType] = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return Counts(*(int(found[name]) for name in names))


class Queue:
    """The queue of the app and its dead-letter queue."""

    def __init__(self, client: SQSClient, url: str, dead_letter_url: str) -> None:
        self._client = client
        self._url = url
        self._dead_letter_url = dead_letter_url

    def receive(self, visibility: int) -> Message | None:
        """Wait for one message with a long poll; None when none came."""
        started = time.monotonic()
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=1,
            WaitTimeSeconds=POLL_SECONDS,
            VisibilityTimeout=visibility,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        for received in answer.get("Messages", []):
            attributes = received.get("Attributes", {})
            sent = int(attributes.get("SentTimestamp", 0)) / 1000
            own = {
                name: value.get("StringValue", "")
                for name, value in received.get("MessageAttributes", {}).items()
            }
            before = own.get(_ATTEMPTS, "")
            receipts = int(attributes.get("ApproximateReceiveCount", 1))
            attempt = receipts + (int(before) if before.isdecimal() else 0)
            return Message(
                body=received["Body"],
                message_id=received["MessageId"],
                receipt=received["ReceiptHandle"],
                attempt=attempt,
                # Only workers send attributes: a copy of their own, or a dead letter that someone
                # has moved back.
                fresh=attempt == 1 and own.keys() <= {_ATTEMPTS},
                attributes=own,
                waited=max(0.0, time.time() - sent),
                received_at=started,
            )
        return None

    def hide(self, message: Message, seconds: int) -> None:
        """Let a message become visible to others after so many seconds from now."""
        self._client.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=seconds
        )

    def delete(self, message: Message) -> None:
        """Remove a message whose job has ended."""
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

    def give_back(self, message: Message, begun: bool, seconds: int = 0) -> None:
        """Let others have a message after so many seconds; this receipt was no attempt.

        SQS counts receipts and cannot take one back, so a copy takes its place.
        """
        attributes = {**message.attributes, _ATTEMPTS: str(message.attempt - 1)}
        if begun:
            attributes[_BEGUN] = message.message_id
        self._client.send_message(
            QueueUrl=self._url,
            MessageBody=message.body,
            DelaySeconds=seconds,
            MessageAttributes={name: _string(text) for name, text in attributes.items()},
        )
        self.delete(message)

    def counts(self) -> Counts:
        """How many messages there are, roughly."""
        return counts(self._client, self._url)

    def dead_letter(self, message: Message, attributes: dict[str, str]) -> None:
        """Move a message to the dead-letter queue; attributes without text are left out."""
        sent = {name: _string(text) for name, text in attributes.items() if text}
        self._client.send_message(
            QueueUrl=self._dead_letter_url, MessageBody=message.body, MessageAttributes=sent
        )
        self.delete(message)


def _string(text: str) -> MessageAttributeValueTypeDef:
    return {"DataType": "String", "StringValue": text}


class Lease:
    """Keeps a message hidden from other workers while its job runs, on a thread of its own.

    The lease is lost when SQS says that the message is no longer ours, or when it could not be
    extended before it ran out. Whoever lost it must neither upload nor delete.
    """

    def __init__(self, queue: Queue, message: Message, visibility: int) -> None:
        self._queue = queue
        self._message = message
        self._visibility = visibility
        self._ends = message.received_at + visibility
        self._last_end = message.received_at + LONGEST_INVISIBILITY
        self._refused = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._extend, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to extend it; at once when the poll that brought the message has used it up."""
        if time.monotonic() < self._ends - self._visibility * 2 / 3 or self._extended():
            self._thread.start()

    def end(self) -> None:
        """Extend it no more; on return no call to SQS is under way."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def lost(self) -> bool:
        """Someone else may have the message by now."""
        return self._refused or time.monotonic() >= self._ends

    def _extend(self) -> None:
        while not self._over.wait(self._visibility / 3) and self._extended():
            pass

    def _extended(self) -> bool:
        """Extend it once; whether it is worth trying again."""
        now = time.monotonic()
        seconds = min(self._visibility, int(self._last_end - now) - 1)
        if seconds < 1:
            return False  # 12 hours are over; SQS extends no further
        try:
            self._queue.hide(self._message, seconds)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _LOST:
                log.warning("Lost message %s: %s", self._message.message_id, error)
                self._refused = True
                return False
            log.warning("Could not extend message %s: %s", self._message.message_id, error)
        except BotoCoreError as error:
            log.warning("Could not extend message %s: %s", self._message.message_id, error)
        else:
            self._ends = now + seconds
        return True
