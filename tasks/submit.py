"""Job messages to the queue: ten a batch, many batches at a time, none lost and none twice."""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

from tenacity import (
    RetryError,
    Retrying,
    retry_if_result,
    stop_after_attempt,
    wait_random_exponential,
)

from blocks.errors import DcpError, InputError, Problem
from tasks import record
from tasks.aws import aws_task
from tasks.jobs import JobMessage
from tasks.machines import batches
from tasks.run import Run

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef as Entry

BATCH = 10  # the most messages that SQS takes in a request
PARALLEL = 16
CHUNK = 1000  # jobs between two notes of how far the submission is


def send_batch(sqs: "SQSClient", url: str, bodies: list[str]) -> None:
    """Send at most ten messages, again and again those that SQS did not take.

    A batch may fail in part (SQS API Reference, SendMessageBatch): the answer names the messages
    that failed and whose fault it was.

    Raises:
        DcpError: SQS refused a message for its content, or kept failing.
    """
    left: list[Entry] = [
        {"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)
    ]

    def send() -> bool:
        failed = sqs.send_message_batch(QueueUrl=url, Entries=left).get("Failed", [])
        for failure in failed:
            if failure["SenderFault"]:
                raise DcpError(
                    f"SQS refused a job message: {failure['Code']} {failure.get('Message', '')}; "
                    f"the message was {bodies[int(failure['Id'])][:300]}"
                )
        again = {failure["Id"] for failure in failed}
        left[:] = [entry for entry in left if entry["Id"] in again]
        return bool(left)

    try:
        Retrying(
            retry=retry_if_result(bool),
            wait=wait_random_exponential(multiplier=0.2, max=10),
            stop=stop_after_attempt(10),
        )(send)
    except RetryError as error:
        raise DcpError(f"SQS did not take {len(left)} job messages in ten attempts") from error


@aws_task("plan")
def write_plan(run: Run, messages: Iterable[JobMessage]) -> int:
    """Write the jobs into the run's record, unless they are there; returns their number.

    Raises:
        InputError: The run has other jobs already.
    """
    bodies = [message.body for message in messages]
    plan = hashlib.sha256("\n".join(bodies).encode()).hexdigest()
    found = record.load(run)
    if found is not None and found.jobs is not None:
        if found.plan != plan:
            raise InputError(
                Problem(
                    f"run {run.run_id}",
                    "job",
                    f"has {found.jobs} other jobs already",
                    got=f"another job file, of {len(bodies)} jobs",
                    remedy="A run has one job file: begin another run (dcp-setup) for this one.",
                )
            )
        return found.jobs
    record.put(run, "jobs.jsonl", "\n".join(bodies) + "\n")
    record.update(run, jobs=len(bodies), plan=plan)
    return len(bodies)


@aws_task("send jobs")
def send_jobs(run: Run, queue_url: str, told: Callable[[int], Any] = lambda _: None) -> int:
    """Send the jobs of the run's record that are not in the queue yet.

    How far it is stands in the record after every thousand jobs, so that a submission that was
    broken off is continued. At most the last thousand are sent twice then, which does no harm: a
    worker that receives a job done already in this run only deletes the message.

    Args:
        run: The run.
        queue_url: The job queue.
        told: Called with the number of jobs sent so far.

    Returns:
        The number of jobs of the run.
    """
    found = record.load(run)
    sent = found.submitted if found else 0
    lines = islice(record.job_lines(run), sent, None)
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="submit") as pool:
        for chunk in batches(lines, CHUNK):
            sends = [
                pool.submit(send_batch, run.aws.sqs, queue_url, bodies)
                for bodies in batches(chunk, BATCH)
            ]
            for done in sends:
                done.result()
            sent += len(chunk)
            record.update(run, submitted=sent)
            told(sent)
    return sent
