"""Messages in SQS's batches: within its limits, and sent until each is known to be taken."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt
from tenacity import wait_random_exponential as wait

from blocks.errors import DcpError
from tasks.aws.errors import THROTTLING_CODES

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef as Entry

# SQS API Reference, SendMessageBatch.
MOST_MESSAGES = 10
MOST_BYTES = 1024 * 1024
"""The largest message, and the largest sum of the messages of a batch, in bytes of UTF-8."""

ATTEMPTS = 10
_THROTTLED = THROTTLING_CODES | {"KmsThrottled"}


def within_limits(bodies: Iterable[str]) -> Iterator[list[str]]:
    """Messages in their order, in as few batches as SQS's limits allow."""
    batch: list[str] = []
    size = 0
    for body in bodies:
        length = len(body.encode())
        if batch and (len(batch) == MOST_MESSAGES or size + length > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += length
    if batch:
        yield batch


def send_batch(sqs: "SQSClient", url: str, bodies: list[str]) -> None:
    """Send a batch of messages, again and again those that SQS did not take.

    A batch may succeed in part: the answer names the messages that were taken, and of the others
    whose fault it was (SQS API Reference, SendMessageBatch). A message in neither list is sent
    again. Whole requests that are throttled or get no answer are repeated by the client.

    Raises:
        DcpError: SQS refused a message for its content, or kept failing.
    """
    left: list[Entry] = [
        {"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)
    ]
    last = ""

    def send() -> bool:
        nonlocal last
        answer = sqs.send_message_batch(QueueUrl=url, Entries=left)
        for failure in answer.get("Failed", []):
            last = f"{failure['Code']} {failure.get('Message', '')}"
            if failure["SenderFault"] and not _is_throttled(failure):
                raise DcpError(
                    f"SQS refused a job message: {last}; "
                    f"the message was {bodies[int(failure['Id'])][:300]}"
                )
        taken = {success["Id"] for success in answer.get("Successful", [])}
        left[:] = [entry for entry in left if entry["Id"] not in taken]
        return bool(left)

    again = Retrying(
        retry=retry_if_result(bool),
        wait=wait(multiplier=0.2, max=10),
        stop=stop_after_attempt(ATTEMPTS),
    )
    try:
        again(send)
    except RetryError as error:
        raise DcpError(
            f"SQS did not take {len(left)} job messages in {ATTEMPTS} attempts: {last}"
        ) from error


def _is_throttled(failure: Any) -> bool:
    # A code may name the service that throttles: KMS.ThrottlingException.
    return failure["Code"].rpartition(".")[2] in _THROTTLED
