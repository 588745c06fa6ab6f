"""Jobs to the queue: planned once, sent in order, none lost, and none twice that a user would see.

The plan is written into the run's record before anything is sent. What is sent is read from there,
so that a submission that was broken off goes on with the same jobs where it was.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from s3transfer.manager import TransferConfig, TransferManager

from blocks.errors import InputError, JobFileError, Problem
from tasks.aws.concurrency import AHEAD, in_order
from tasks.aws.retries import STEP_OUTAGE, retrying
from tasks.jobs.job_ids import JobIds, listed
from tasks.jobs.messages import JobMessage
from tasks.jobs.priority import longest_first
from tasks.jobs.results import job_ids
from tasks.jobs.sqs_batches import MOST_BYTES, MOST_MESSAGES, send_batch, within_limits
from tasks.runs import record
from tasks.runs.run import Run

PARALLEL = 32  # requests at a time, as many as a client keeps connections
NOTED = 1000  # jobs between two notes of how far the submission is
# The jobs after the last note but one, and the batches on their way.
MOST_TWICE = 2 * (NOTED + MOST_MESSAGES) + MOST_MESSAGES * PARALLEL * AHEAD
"""The most jobs that are sent again by a submission that is continued after it was killed."""

# A part is read from the file as it is sent; four are enough to keep a connection busy.
UPLOAD = TransferConfig(max_request_concurrency=4)


@dataclass(frozen=True)
class Plan:
    """The jobs of a run as a file, a message a line.

    Attributes:
        file: Where it lies on this computer.
        jobs: Number of jobs.
        digest: By which the same jobs are known again, in whatever order they are sent.
    """

    file: Path
    jobs: int
    digest: str


def write_plan(run: Run, messages: Iterable[JobMessage], **of_plan: Any) -> int:
    """Write the jobs into the run's record, unless they are there; returns their number.

    The longest come first, as far as earlier runs tell.

    The messages go through a temporary file, so that they need no memory. They are taken once, and
    only the upload is repeated when S3 is out of reach.

    Args:
        run: The run.
        messages: The jobs.
        of_plan: Fields of the record that are written with the jobs, and not when they are refused.

    Raises:
        InputError: The run has other jobs already.
        JobFileError: A message is larger than SQS takes.
    """
    with tempfile.TemporaryDirectory(prefix="dcp-plan-") as folder:
        plan = _spool(messages, Path(folder) / record.JOBS)
        return retrying(STEP_OUTAGE)(_keep, run, plan, of_plan)


def _spool(messages: Iterable[JobMessage], file: Path) -> Plan:
    jobs, digest = 0, hashlib.sha256()
    with file.open("wb") as lines:
        for message in messages:
            body = message.body.encode()
            if len(body) > MOST_BYTES:
                raise _too_large(message, len(body))
            line = body + b"\n"
            lines.write(line)
            digest.update(line)
            jobs += 1
    return Plan(file, jobs, digest.hexdigest())


def _too_large(message: JobMessage, size: int) -> JobFileError:
    return JobFileError(
        Problem(
            f"job {message.metadata[:200]}",
            "Metadata",
            "makes a message larger than SQS takes",
            got=f"{size:,} bytes",
            allowed=f"at most {MOST_BYTES:,} bytes",
            remedy="Shorten the values of its group, or the paths of its job file.",
        )
    )


def _keep(run: Run, plan: Plan, of_plan: dict[str, Any]) -> int:
    found = record.load(run)
    if found is not None and found.jobs is not None:
        if found.plan != plan.digest:
            raise InputError(
                Problem(
                    f"run {run.run_id}",
                    "job",
                    f"has {found.jobs} other jobs already",
                    got=f"another job file, of {plan.jobs} jobs",
                    remedy="A run has one job file: begin another run (dcp-setup) for this one.",
                )
            )
        return found.jobs
    file = longest_first(run, plan.file)
    with TransferManager(run.aws.s3, UPLOAD) as transfers:
        where = (run.config.aws_bucket, run.key(record.JOBS))
        transfers.upload(str(file), *where, {"ContentType": "application/jsonl"}).result()
    # Only a plan that is there as a whole is one.
    record.update(run, jobs=plan.jobs, plan=plan.digest, **of_plan)
    return plan.jobs


def send_jobs(run: Run, queue_url: str, told: Callable[[int], Any] = lambda _: None) -> int:
    """Send the jobs of the run's record that are not in the queue yet.

    How far it is stands in the record, so that a submission that was broken off, in whatever way,
    is continued. At most the last `MOST_TWICE` jobs are sent twice then, which does no harm: a
    worker that receives a job done already in this run only deletes the message.

    Args:
        run: The run.
        queue_url: The job queue.
        told: Called with the number of jobs that are in the queue, now and then.

    Returns:
        The number of jobs of the run.
    """

    def send(bodies: list[str]) -> int:
        send_batch(run.aws.sqs, queue_url, bodies)
        return len(bodies)

    progress = Progress(run, told)
    lines = islice(record.job_lines(run), progress.sent, None)
    with progress, closing(in_order(send, within_limits(lines), PARALLEL, "submit")) as taken:
        for jobs in taken:
            progress.add(jobs)
    return progress.sent


class Progress:
    """How far the submission is: counted, told, and noted in the record beside the sending.

    A note is on its way while jobs go on being sent, so that its request costs no time; the next is
    begun only after it.
    """

    def __init__(self, run: Run, told: Callable[[int], Any]) -> None:
        self.run = run
        self.told = told
        self.sent = self.begun = record.submitted(run)
        self.note: Future[None] | None = None
        self.notes = ThreadPoolExecutor(1, thread_name_prefix="progress")

    def __enter__(self) -> None:
        self.told(self.sent)

    def add(self, jobs: int) -> None:
        """So many more jobs are in the queue, the next ones in the order of the plan."""
        self.sent += jobs
        if self.sent - self.begun >= NOTED:
            self.write()

    def write(self) -> None:
        """Note and tell how far it is."""
        if self.note is not None:
            self.note.result()
        self.note = self.notes.submit(record.note_submitted, self.run, self.sent)
        self.begun = self.sent
        self.told(self.sent)

    def __exit__(self, *_: object) -> None:
        """Note what was sent, also when the sending failed."""
        with self.notes:
            self.write()
        if self.note is not None:
            self.note.result()


def done_ids(run: Run) -> JobIds:
    """The jobs that earlier runs of this app have done, but for those that this run has planned.

    A worker notes each success in `dcp/<app_name>/done/<job_id>.json`. The same job has the same id
    in every run: the same group, pipeline, CSV and output by name. Whether their contents are the
    same too, only a worker looks (`check_if_done_exact`). A job of the run's own plan was not done
    when it was planned: left out now, the same job file would make another plan.
    """
    kept = record.load(run)
    done = _done(run)
    return done - job_ids(run) if kept and kept.jobs is not None else done


def _done(run: Run) -> JobIds:
    return listed(run, run.names.done_prefix)


class Undone:
    """The messages of jobs that are not done yet.

    Attributes:
        left_out: How many were done, of those taken so far.
    """

    def __init__(self, messages: Iterable[JobMessage], done: JobIds) -> None:
        self.messages = messages
        self.done = done
        self.left_out = 0

    def __iter__(self) -> Iterator[JobMessage]:
        for message in self.messages:
            if message.job_id in self.done:
                self.left_out += 1
            else:
                yield message


def count_done(run: Run) -> int:
    """How many jobs an earlier run of the app has done, of those that are yet to be sent."""
    return len(job_ids(run, record.submitted(run)) & _done(run))
