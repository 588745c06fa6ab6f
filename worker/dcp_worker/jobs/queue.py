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

# Duration of a long poll. SQS may deliver a message to a poll whose worker has exited; the message
# then stays hidden for its whole visibility timeout. So a stopping slot waits for its poll, and the
# poll is short enough not to delay the exit.
POLL_SECONDS = 3
# Longer than a poll: when a container stops, the last poll of one slot must not receive (and count
# as an attempt) a message that another slot returned.
RETURN_SECONDS = POLL_SECONDS + 1
# On a copy of a message: the number of earlier attempts, and that its job was started before.
_ATTEMPTS, _BEGUN = "dcp_attempts", "dcp_begun"
# SQS's errors for a deleted queue, and for a message whose lease is lost.
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
        attempt: Number of this attempt, from 1.
        attributes: Its text message attributes.
        fresh: No worker has had it before, under this or another message id.
        waited: Seconds between sending and receipt.
        received_at: Time (time.monotonic) just before the receipt.
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
    """Messages in a queue, by state."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def none(self) -> bool:
        """Whether the queue was empty."""
        return not (self.visible or self.in_flight or self.delayed)


def counts(client: SQSClient, url: str) -> Counts:
    """Approximate number of messages in a queue (GetQueueAttributes, SQS API)."""
    names: list[QueueAttributeNameType] = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return Counts(*(int(attributes[name]) for name in names))


class Queue:
    """The queue of the app and its dead-letter queue."""

    def __init__(self, client: SQSClient, url: str, dead_letter_url: str) -> None:
        self._client = client
        self._url = url
        self._dead_letter_url = dead_letter_url

    def receive(self, visibility: int) -> Message | None:
        """Wait for one message with a long poll; None if none arrived."""
        started = time.monotonic()
        response = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=1,
            WaitTimeSeconds=POLL_SECONDS,
            VisibilityTimeout=visibility,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        for received in response.get("Messages", []):
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
                # Only workers send attributes: on a copy of a message, or on a dead letter that
                # someone moved back.
                fresh=attempt == 1 and own.keys() <= {_ATTEMPTS},
                attributes=own,
                waited=max(0.0, time.time() - sent),
                received_at=started,
            )
        return None

    def hide(self, message: Message, seconds: int) -> None:
        """Set the visibility timeout of a message, in seconds from now."""
        self._client.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=seconds
        )

    def delete(self, message: Message) -> None:
        """Delete a message whose job has ended."""
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

    def give_back(self, message: Message, begun: bool, seconds: int = 0) -> None:
        """Return a message to the queue after a delay, without counting this receipt as an attempt.

        SQS counts every receipt, so a copy replaces the message.
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
        """Approximate number of messages in the queue."""
        return counts(self._client, self._url)

    def dead_letter(self, message: Message, attributes: dict[str, str]) -> None:
        """Move a message to the dead-letter queue, with all attributes that are not empty."""
        sent = {name: _string(text) for name, text in attributes.items() if text}
        self._client.send_message(
            QueueUrl=self._dead_letter_url, MessageBody=message.body, MessageAttributes=sent
        )
        self.delete(message)


def _string(text: str) -> MessageAttributeValueTypeDef:
    return {"DataType": "String", "StringValue": text}


class Lease:
    """Keeps a message hidden from other workers while its job runs, on its own thread.

    The lease is lost if SQS rejects the receipt handle, or if the lease expired before it could be
    extended. A slot without the lease must neither upload nor delete.
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
        """Start extending the lease; at once if the long poll has already used up much of it."""
        if time.monotonic() < self._ends - self._visibility * 2 / 3 or self._extended():
            self._thread.start()

    def end(self) -> None:
        """Stop extending the lease; on return no call to SQS is in progress."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def lost(self) -> bool:
        """Whether another worker may have the message by now."""
        return self._refused or time.monotonic() >= self._ends

    def _extend(self) -> None:
        while not self._over.wait(self._visibility / 3) and self._extended():
            pass

    def _extended(self) -> bool:
        """Extend the lease once; returns whether another extension is possible."""
        now = time.monotonic()
        seconds = min(self._visibility, int(self._last_end - now) - 1)
        if seconds < 1:
            return False  # the 12 hours have passed; SQS allows no more
        try:
            self._queue.hide(self._message, seconds)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _LOST:
                log.warning("Lost the lease of message %s: %s", self._message.message_id, error)
                self._refused = True
                return False
            log.warning("Could not extend message %s: %s", self._message.message_id, error)
        except BotoCoreError as error:
            log.warning("Could not extend message %s: %s", self._message.message_id, error)
        else:
            self._ends = now + seconds
        return True
