"""What became of each job: the result records in S3, and the account that must balance."""

import json
from collections.abc import Generator, Iterable, Mapping, Set
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import Any

import orjson

from blocks.errors import JobFileError
from tasks.jobs.job_ids import JobIds, listed
from tasks.jobs.messages import JobMessage
from tasks.jobs.queues import Letter, find_queue, letters
from tasks.runs import record
from tasks.runs.run import Run

STATUSES = ("succeeded", "skipped", "failed")


@dataclass(frozen=True)
class Account:
    """Where every submitted job is.

    Attributes:
        submitted: Ids of all jobs of the run.
        succeeded: Those with a record of success.
        skipped: Those skipped, since their outputs were there.
        failed: Those given up, with a reason.
    """

    submitted: Set[str] = frozenset()
    succeeded: Set[str] = frozenset()
    skipped: Set[str] = frozenset()
    failed: Set[str] = frozenset()

    @cached_property
    def open(self) -> Set[str]:
        """Jobs that have no result: queued, running, or lost."""
        return self.submitted - self.succeeded - self.skipped - self.failed

    @property
    def ended(self) -> int:
        """Number of jobs that have a result."""
        return len(self.submitted) - len(self.open)

    def counts(self) -> dict[str, int]:
        """Number of jobs by status, and those without a result as `open`."""
        return {
            "submitted": len(self.submitted),
            "succeeded": len(self.succeeded),
            "skipped": len(self.skipped),
            "failed": len(self.failed),
            "open": len(self.open),
        }


def balance(submitted: Iterable[str], results: Mapping[str, Iterable[str]]) -> Account:
    """Draw up the account of a run.

    A job may have several records, since SQS may deliver a message twice and a job that was given
    up may be done after all: a success counts before a skip, and a skip before a failure. Records
    of jobs that were not submitted by this run are left out.
    """
    jobs = _as_set(submitted)
    of_run = {status: jobs & _as_set(results.get(status, ())) for status in STATUSES}
    succeeded = of_run["succeeded"]
    skipped = of_run["skipped"] - succeeded
    failed = of_run["failed"] - succeeded - skipped
    return Account(jobs, succeeded, skipped, failed)


def _as_set(ids: Iterable[str]) -> Set[str]:
    return ids if isinstance(ids, Set) else frozenset(ids)


def job_ids(run: Run, after: int = 0) -> JobIds:
    """The ids of all jobs of the run, or of those after so many of its plan."""
    lines = islice(record.job_lines(run), after, None)
    return JobIds(orjson.loads(line)["job_id"] for line in lines)


def result_keys(run: Run) -> dict[str, JobIds]:
    """Job ids by status, read off the keys of the result records."""
    return {status: listed(run, run.key(record.results(status))) for status in STATUSES}


def account(run: Run, submitted: Iterable[str] | None = None) -> Account:
    """The account of the run as it is now.

    Args:
        run: The run.
        submitted: The ids of its jobs, when they have been read already.
    """
    return balance(job_ids(run) if submitted is None else submitted, result_keys(run))


def dead_letters(run: Run, open_jobs: Set[str]) -> Generator[tuple[JobMessage, Letter]]:
    """The jobs that lie in the dead-letter queue and have no result; nothing is taken out of it.

    The queue may hold the messages of other apps and runs: they are passed over. So are those from
    before the run was begun again under its id, whose jobs have another chance.

    Args:
        run: The run.
        open_jobs: Ids of its jobs without a result.
    """
    kept = record.load(run)
    url = find_queue(run.aws.sqs, run.names.dead_letter_queue) if open_jobs and kept else None
    if kept is None or url is None:
        return
    seen: set[str] = set()
    with closing(letters(run.aws.sqs, url)) as read:
        for letter in read:
            try:
                message = JobMessage.from_body(letter.body)
            except JobFileError:
                continue  # another's, or one that was refused and has its record
            app = letter.attributes.get("dcp_app", run.names.app)
            ours = (app, message.run_id) == (run.names.app, run.run_id)
            if ours and message.job_id in open_jobs and letter.sent >= kept.started_at:
                if message.job_id not in seen:
                    yield message, letter
                seen.add(message.job_id)
            if len(seen) == len(open_jobs):
                return


def claim_dead_letters(run: Run, open_jobs: Set[str]) -> int:
    """Give a result to jobs that SQS itself moved to the dead-letter queue.

    A worker that is killed cannot write why. When that has happened as often as `job_retries`
    allows, SQS moves the message, and only the dead-letter queue knows. The messages stay there.

    Returns:
        The number of jobs that were found.
    """
    found = 0
    with closing(dead_letters(run, open_jobs)) as dead:
        for message, letter in dead:
            text = json.dumps(given_up(run, message, letter))
            record.put(run, record.result("failed", message.job_id), text)
            found += 1
    return found


def given_up(run: Run, message: JobMessage, letter: Letter) -> dict[str, Any]:
    """The result record of a job whose workers could not write one (docs/contract.schema.json).

    A worker that gave the job up has said why in its letter.
    """
    now = datetime.now(UTC).isoformat()
    told = {name: letter.attributes.get(name) for name in ("reason", "reason_text")}
    return {
        "job_id": message.job_id,
        "run_id": run.run_id,
        "app_name": run.names.app,
        "status": "failed",
        "reason": "worker_died",
        "reason_text": f"the worker was gone before the end of each of {run.config.job_retries} "
        "attempts (out of memory, machine lost or stopped)",
        "Metadata": message.metadata,
        "pipeline": message.pipeline,
        "data_file": message.data_file,
        "output": message.output_prefix,
        "attempt": run.config.job_retries,
        "seconds": {"wait": 0, "download": 0, "cellprofiler": 0, "upload": 0},
        "files": 0,
        "bytes": 0,
        "peak_memory_mb": 0,
        "instance_id": "",
        "started_at": now,
        "ended_at": now,
        "versions": {"dcp_worker": "", "cellprofiler": "", "python": ""},
        "log_stream": "",
    } | {name: text for name, text in told.items() if text}
