"""SQS: names and attributes of queues, batches and messages.

Sources, in the Amazon SQS API Reference: CreateQueue, SendMessage, SendMessageBatch,
ReceiveMessage, ChangeMessageVisibility; in the Amazon SQS Developer Guide: "Amazon SQS message
quotas".
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployments.local.emulator.guards.parameter_rules.rule import Rule, RuleViolation

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


def wrong(text: str) -> RuleViolation:
    """A value that SQS refuses."""
    return RuleViolation("InvalidParameterValue", text)


def create_queue(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """CreateQueue."""
    if not NAME.fullmatch(params["QueueName"]):
        yield wrong(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )
    yield from set_attributes(params)


def set_attributes(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """SetQueueAttributes, and the attributes of CreateQueue."""
    attributes = params.get("Attributes", {})
    for name, (least, most) in ATTRIBUTES.items():
        text = attributes.get(name)
        if text is not None and not (text.isdecimal() and least <= int(text) <= most):
            yield RuleViolation("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    policy = attributes.get("RedrivePolicy")
    if policy:
        yield from _redrive(policy)


def _redrive(policy: str) -> Iterator[RuleViolation]:
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


def send_message(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """SendMessage."""
    yield from _message(params)
    if size(params) > MOST_BYTES:
        yield wrong(
            f"One or more parameters are invalid. Reason: Message must be shorter than "
            f"{MOST_BYTES} bytes."
        )


def _message(message: Mapping[str, Any]) -> Iterator[RuleViolation]:
    body, attributes = message["MessageBody"], message.get("MessageAttributes", {})
    if not body:
        yield RuleViolation(
            "MissingParameter", "The request must contain the parameter MessageBody."
        )
    if FORBIDDEN.search(body):
        yield RuleViolation("InvalidMessageContents", "Invalid characters in the message body")
    yield from seconds("DelaySeconds", message.get("DelaySeconds"), ATTRIBUTES["DelaySeconds"])
    if len(attributes) > MOST_ATTRIBUTES:
        yield wrong(f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum")
    for name, attribute in attributes.items():
        kind = attribute["DataType"].partition(".")[0]
        if kind not in ("String", "Number", "Binary"):
            yield wrong(f"The message attribute '{name}' has an invalid message attribute type")
        if kind != "Binary" and not attribute.get("StringValue"):
            yield wrong(f"The message attribute '{name}' must contain a non-empty value")


def size(message: Mapping[str, Any]) -> int:
    """Size of a message in bytes: body, and attributes with their names and types."""
    total = len(message["MessageBody"].encode(errors="surrogatepass"))
    for name, message_attribute in message.get("MessageAttributes", {}).items():
        value = message_attribute.get("StringValue") or message_attribute.get("BinaryValue") or ""
        total += len(name) + len(message_attribute["DataType"]) + len(value)
    return total


def batch(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """Rules for all batches."""
    ids = [entry["Id"] for entry in params["Entries"]]
    if not ids:
        yield RuleViolation("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(ids) > MOST_ENTRIES:
        text = f"Maximum number of entries per request are {MOST_ENTRIES}. You have sent {len(ids)}"
        yield RuleViolation("TooManyEntriesInBatchRequest", text)
    if len(set(ids)) < len(ids):
        yield RuleViolation(
            "BatchEntryIdsNotDistinct", "Two or more batch entries have the same Id."
        )
    if not all(BATCH_ID.fullmatch(entry_id) for entry_id in ids):
        text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores."
        yield RuleViolation("InvalidBatchEntryId", text)


def send_batch(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """SendMessageBatch: the size limit applies to all its messages together."""
    yield from batch(params)
    for entry in params["Entries"]:
        yield from _message(entry)
    total = sum(size(entry) for entry in params["Entries"])
    if total > MOST_BYTES:
        text = f"Batch requests cannot be longer than {MOST_BYTES} bytes. You have sent {total}."
        yield RuleViolation("BatchRequestTooLong", text)


def seconds(name: str, number: int | None, limits: tuple[int, int]) -> Iterator[RuleViolation]:
    """A number within limits."""
    if number is not None and not limits[0] <= number <= limits[1]:
        yield wrong(
            f"Value {number} for parameter {name} is invalid. Reason: Must be between {limits[0]} "
            f"and {limits[1]}, if provided."
        )


def receive_message(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """ReceiveMessage."""
    yield from seconds("MaxNumberOfMessages", params.get("MaxNumberOfMessages"), (1, MOST_ENTRIES))
    yield from seconds("WaitTimeSeconds", params.get("WaitTimeSeconds"), (0, 20))
    yield from change_visibility(params)


def change_visibility(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
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
