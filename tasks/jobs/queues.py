"""The job queue and its dead-letter queue."""

import json
import logging
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from tenacity import (
    Retrying,
    retry,
    retry_if_exception,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from tasks.aws.concurrency import batches
from tasks.aws.errors import error_code
from tasks.runs.run import Run

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger("prefect.dcp")

RETENTION_SECONDS = 14 * 24 * 3600  # the longest that SQS keeps a message
BATCH = 10  # the most messages of a request
PARALLEL = 8  # requests at a time that give messages back
HIDDEN_SECONDS, LONGEST_HIDDEN = 60, 43_200  # SQS hides a message for 12 hours at most
READ_A_SECOND = 50  # messages, in ten requests one after the other: slower than SQS mostly is
PAGES_WITHOUT_NEWS = 3  # SQS answers from a part of its servers: one empty page says little
MISSING_CODES = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})


@dataclass(frozen=True)
class QueueCounts:
    """How many messages a queue holds, as SQS counts them: approximately.

    Attributes:
        waiting: Ready to be received, or delayed.
        in_flight: Received and not yet deleted or returned.
    """

    waiting: int
    in_flight: int

    @property
    def total(self) -> int:
        """All messages of the queue."""
        return self.waiting + self.in_flight


def find_queue(sqs: "SQSClient", name: str) -> str | None:
    """The URL of a queue, or None when there is none of that name."""
    try:
        return sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError as error:
        if error_code(error) in MISSING_CODES:
            return None
        raise


# A queue that was just made may not be known everywhere yet (SQS API, CreateQueue: wait a second).
@retry(
    retry=retry_if_exception(lambda error: error_code(error) in MISSING_CODES),
    wait=wait_fixed(1),
    stop=stop_after_delay(15),
    reraise=True,
)
def queue_arn(sqs: "SQSClient", url: str) -> str:
    """The ARN of a queue."""
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]


def _deleted_recently(error: BaseException) -> bool:
    return error_code(error).endswith("QueueDeletedRecently")


# SQS refuses a queue of a name that was deleted less than 60 seconds ago (API reference,
# CreateQueue), as happens when a run follows the clean-up of the one before it.
@retry(
    retry=retry_if_exception(_deleted_recently),
    wait=wait_fixed(5),
    stop=stop_after_delay(90),
    reraise=True,
)
def _create(sqs: "SQSClient", name: str, attributes: dict[Any, str], tags: dict[str, str]) -> str:
    return sqs.create_queue(QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"]


def redrive_policy(dead_letter_arn: str, receives: int) -> str:
    """The redrive policy of a queue, as SQS takes it: JSON within an attribute."""
    return json.dumps({"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": receives})


@dataclass(frozen=True)
class QueueUrls:
    """Where the queues of a run are.

    Attributes:
        jobs: URL of the job queue.
        dead_letters: URL of its dead-letter queue.
    """

    jobs: str
    dead_letters: str


def ensure_queues(run: Run) -> QueueUrls:
    """Make the job queue with its redrive policy, and the dead-letter queue where it is missing.

    The dead-letter queue may be shared by several apps and is left as it is when it exists. An
    existing job queue gets the configuration's settings.
    """
    sqs, config, names = run.aws.sqs, run.config, run.names
    dead_letters = find_queue(sqs, names.dead_letter_queue) or _create(
        sqs, names.dead_letter_queue, {"MessageRetentionPeriod": str(RETENTION_SECONDS)}, {}
    )
    attributes: dict[Any, str] = {
        "VisibilityTimeout": str(config.sqs_message_visibility),
        "MessageRetentionPeriod": str(RETENTION_SECONDS),
        "RedrivePolicy": redrive_policy(queue_arn(sqs, dead_letters), config.job_retries),
    }
    url = find_queue(sqs, names.queue)
    if url is None:
        return QueueUrls(_create(sqs, names.queue, attributes, run.tags), dead_letters)
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    sqs.tag_queue(QueueUrl=url, Tags=run.tags)
    return QueueUrls(url, dead_letters)


def count(sqs: "SQSClient", url: str) -> QueueCounts:
    """Count the messages of a queue (approximate: SQS API reference, GetQueueAttributes)."""
    numbers = sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return QueueCounts(
        waiting=int(numbers["ApproximateNumberOfMessages"])
        + int(numbers.get("ApproximateNumberOfMessagesDelayed", 0)),
        in_flight=int(numbers["ApproximateNumberOfMessagesNotVisible"]),
    )


@dataclass(frozen=True)
class Letter:
    """A message that was looked at.

    Attributes:
        body: Its text.
        sent: When it was sent; what SQS itself moved here keeps the time of its first sending.
        attributes: Its message attributes that are text.
    """

    body: str
    sent: datetime
    attributes: Mapping[str, str]


def letters(sqs: "SQSClient", url: str) -> Generator[Letter]:
    """The messages of a queue, each once; none is deleted, and all are there again afterwards.

    A message that was looked at is hidden from others until the reading ends, however it ends: it
    is then given back at once. When this computer is gone before that, SQS shows the message again
    by itself, a minute or so later (the time that reading the whole queue takes).

    A queue that passes messages on by itself, after some receipts, is not read: each look would be
    one of them (Amazon SQS Developer Guide, "Using dead-letter queues": maxReceiveCount).

    To be closed when it is not read to its end (`contextlib.closing`).
    """
    if _passes_on(sqs, url):
        logger.warning(
            "%s has a redrive policy of its own, so that reading it would move its messages: "
            "it is not looked into",
            url,
        )
        return
    hidden = HIDDEN_SECONDS + count(sqs, url).waiting // READ_A_SECOND
    receipts: list[str] = []
    try:
        seen: set[str] = set()
        without_news = 0
        while without_news < PAGES_WITHOUT_NEWS:
            messages = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=BATCH,
                VisibilityTimeout=min(hidden, LONGEST_HIDDEN),
                WaitTimeSeconds=1,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp"],
            ).get("Messages", [])
            receipts += [message["ReceiptHandle"] for message in messages]
            new = [message for message in messages if message["MessageId"] not in seen]
            without_news = 0 if new else without_news + 1
            seen.update(message["MessageId"] for message in new)
            for message in new:
                own = message.get("MessageAttributes", {})
                texts = {name: value.get("StringValue", "") for name, value in own.items()}
                sent = datetime.fromtimestamp(
                    int(message["Attributes"]["SentTimestamp"]) / 1000, UTC
                )
                yield Letter(message["Body"], sent, texts)
    finally:
        _show_again(sqs, url, receipts)


def _passes_on(sqs: "SQSClient", url: str) -> bool:
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    return bool(asked.get("Attributes", {}).get("RedrivePolicy"))


def _show_again(sqs: "SQSClient", url: str, receipts: list[str]) -> None:
    def show(receipts: list[str]) -> None:
        # What SQS refuses here is a message that is shown already: its time was over.
        sqs.change_message_visibility_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for number, receipt in enumerate(receipts)
            ],
        )

    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="letters") as pool:
        for _ in pool.map(show, batches(receipts, BATCH)):
            pass


def delete_queue(run: Run) -> bool:
    """Delete the job queue; the dead-letter queue stays.

    Returns:
        Whether there was one.
    """
    sqs, name = run.aws.sqs, run.names.queue
    url = find_queue(sqs, name)
    if url is None:
        return False
    sqs.delete_queue(QueueUrl=url)
    # For up to 60 seconds it may still be there, and take messages (SQS API, DeleteQueue).
    Retrying(
        retry=retry_if_result(bool), wait=wait_fixed(2), stop=stop_after_delay(90), reraise=True
    )(find_queue, sqs, name)
    return True
