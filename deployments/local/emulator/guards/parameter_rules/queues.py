"""SQS: names and attributes of queues, batches and messages.

Sources, in the Amazon SQS API Reference: CreateQueue, SendMessage, SendMessageBatch,
ReceiveMessage, ChangeMessageVisibility; in the Amazon SQS Developer Guide: "Amazon SQS message
quotas".
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployments.local.emulator.guards.parameter_rules.rule import Broken, Rule

NAME = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
BATCH_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
# Allowed characters of a message: "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000
# to #x10FFFF" (SendMessage).
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MOST_BYTES = 1_048_576
MOST_ENTRIES = 10
MOST_ATTRIBUTES = 10
# Minimum and maximum, in seconds or bytes.
ATTRIBUTES = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, MOST_BYTES),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
RECEIVES = (1, 1000)


def wrong(text: str) -> Broken:
    """A value that SQS refuses."""
    return Broken("InvalidParameterValue", text)


def create_queue(params: Mapping[str, Any]) -> Iterator[Broken]:
    """CreateQueue."""
    if not NAME.fullmatch(params["QueueName"]):
        yield wrong(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )
    yield from set_attributes(params)


def set_attributes(params: Mapping[str, Any]) -> Iterator[Broken]:
    """SetQueueAttributes, and the attributes of CreateQueue."""
    given = params.get("Attributes", {})
    for name, (least, most) in ATTRIBUTES.items():
        text = given.get(name)
        if text is not None and not (text.isdecimal() and least <= int(text) <= most):
            yield Broken("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    policy = given.get("RedrivePolicy")
    if policy:
        yield from _redrive(policy)


def _redrive(policy: str) -> Iterator[Broken]:
    try:
        read = json.loads(policy)
        receives, target = int(read["maxReceiveCount"]), read["deadLetterTargetArn"]
    except (ValueError, KeyError, TypeError):
        text = f"Value {policy} for parameter RedrivePolicy is invalid."
        yield wrong(f"{text} Reason: Redrive policy is not a valid JSON map.")
        return
    if not RECEIVES[0] <= receives <= RECEIVES[1]:
        yield wrong(
            f"Value {policy} for parameter RedrivePolicy is invalid. Reason: Invalid value for "
            "maxReceiveCount, valid values are from 1 to 1000 both inclusive."
        )
    if not str(target).startswith("arn:"):
        yield wrong(f"Value {target} for deadLetterTargetArn is invalid.")


def send_message(params: Mapping[str, Any]) -> Iterator[Broken]:
    """SendMessage."""
    yield from _message(params)
    if size(params) > MOST_BYTES:
        yield wrong(
            f"One or more parameters are invalid. Reason: Message must be shorter than "
            f"{MOST_BYTES} bytes."
        )


def _message(message: Mapping[str, Any]) -> Iterator[Broken]:
    body, attributes = message["MessageBody"], message.get("MessageAttributes", {})
    if not body:
        yield Broken("MissingParameter", "The request must contain the parameter MessageBody.")
    if FORBIDDEN.search(body):
        yield Broken("InvalidMessageContents", "Invalid characters in the message body")
    yield from seconds("DelaySeconds", message.get("DelaySeconds"), ATTRIBUTES["DelaySeconds"])
    if len(attributes) > MOST_ATTRIBUTES:
        yield wrong(f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum")
    for name, one in attributes.items():
        kind = one["DataType"].partition(".")[0]
        if kind not in ("String", "Number", "Binary"):
            yield wrong(f"The message attribute '{name}' has an invalid message attribute type")
        if kind != "Binary" and not one.get("StringValue"):
            yield wrong(f"The message attribute '{name}' must contain a non-empty value")


def size(message: Mapping[str, Any]) -> int:
    """Size of a message in bytes: body, and attributes with their names and types."""
    total = len(message["MessageBody"].encode(errors="surrogatepass"))
    for name, one in message.get("MessageAttributes", {}).items():
        value = one.get("StringValue") or one.get("BinaryValue") or ""
        total += len(name) + len(one["DataType"]) + len(value)
    return total


def batch(params: Mapping[str, Any]) -> Iterator[Broken]:
    """Rules for all batches."""
    ids = [one["Id"] for one in params["Entries"]]
    if not ids:
        yield Broken("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(ids) > MOST_ENTRIES:
        text = f"Maximum number of entries per request are {MOST_ENTRIES}. You have sent {len(ids)}"
        yield Broken("TooManyEntriesInBatchRequest", text)
    if len(set(ids)) < len(ids):
        yield Broken("BatchEntryIdsNotDistinct", "Two or more batch entries have the same Id.")
    if not all(BATCH_ID.fullmatch(one) for one in ids):
        text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores."
        yield Broken("InvalidBatchEntryId", text)


def send_batch(params: Mapping[str, Any]) -> Iterator[Broken]:
    """SendMessageBatch: the size limit applies to all its messages together."""
    yield from batch(params)
    for one in params["Entries"]:
        yield from _message(one)
    total = sum(size(one) for one in params["Entries"])
    if total > MOST_BYTES:
        text = f"Batch requests cannot be longer than {MOST_BYTES} bytes. You have sent {total}."
        yield Broken("BatchRequestTooLong", text)


def seconds(name: str, given: int | None, limits: tuple[int, int]) -> Iterator[Broken]:
    """A number within limits."""
    if given is not None and not limits[0] <= given <= limits[1]:
        yield wrong(
            f"Value {given} for parameter {name} is invalid. Reason: Must be between {limits[0]} "
            f"and {limits[1]}, if provided."
        )


def receive_message(params: Mapping[str, Any]) -> Iterator[Broken]:
    """ReceiveMessage."""
    yield from seconds("MaxNumberOfMessages", params.get("MaxNumberOfMessages"), (1, MOST_ENTRIES))
    yield from seconds("WaitTimeSeconds", params.get("WaitTimeSeconds"), (0, 20))
    yield from change_visibility(params)


def change_visibility(params: Mapping[str, Any]) -> Iterator[Broken]:
    """ChangeMessageVisibility."""
    limits = ATTRIBUTES["VisibilityTimeout"]
    yield from seconds("VisibilityTimeout", params.get("VisibilityTimeout"), limits)


RULES: dict[str, Rule] = {
    "CreateQueue": create_queue,
    "SetQueueAttributes": set_attributes,
    "SendMessage": send_message,
    "SendMessageBatch": send_batch,
    "DeleteMessageBatch": batch,
    "ChangeMessageVisibilityBatch": batch,
    "ReceiveMessage": receive_message,
    "ChangeMessageVisibility": change_visibility,
}
