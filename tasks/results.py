"""What became of each job: the result records in S3, and the account that must balance."""

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from blocks.errors import JobFileError
from tasks import record
from tasks.jobs import JobMessage
from tasks.queues import find_queue, peek
from tasks.run import Run

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

    submitted: frozenset[str] = frozenset()
    succeeded: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()

    @property
    def open(self) -> frozenset[str]:
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
    jobs = frozenset(submitted)
    succeeded = jobs & frozenset(results.get("succeeded", ()))
    skipped = jobs & frozenset(results.get("skipped", ())) - succeeded
    failed = jobs & frozenset(results.get("failed", ())) - succeeded - skipped
    return Account(jobs, succeeded, skipped, failed)


def job_ids(run: Run) -> frozenset[str]:
    """The ids of all jobs of the run."""
    return frozenset(json.loads(line)["job_id"] for line in record.job_lines(run))


def result_keys(run: Run) -> dict[str, list[str]]:
    """Job ids by status, read off the keys of the result records."""
    found: dict[str, list[str]] = {status: [] for status in STATUSES}
    prefix = run.key("results/")
    pages = run.aws.s3.get_paginator("list_objects_v2").paginate(
        Bucket=run.config.aws_bucket, Prefix=prefix
    )
    for page in pages:
        for item in page.get("Contents", []):
            status, _, name = item["Key"].removeprefix(prefix).partition("/")
            if status in found:
                found[status].append(name.removesuffix(".json"))
    return found


def account(run: Run, submitted: Iterable[str] | None = None) -> Account:
    """The account of the run as it is now.

    Args:
        run: The run.
        submitted: The ids of its jobs, when they have been read already.
    """
    return balance(job_ids(run) if submitted is None else submitted, result_keys(run))


def read_results(run: Run, status: str, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The result records of some jobs."""

    def read(job_id: str) -> dict[str, Any]:
        key = run.key(f"results/{status}/{job_id}.json")
        body = run.aws.s3.get_object(Bucket=run.config.aws_bucket, Key=key)["Body"].read()
        result: dict[str, Any] = json.loads(body)
        return result

    with ThreadPoolExecutor(16, thread_name_prefix="results") as pool:
        yield from pool.map(read, sorted(ids))


def claim_dead_letters(run: Run, open_jobs: frozenset[str]) -> int:
    """Give a result to jobs that SQS itself moved to the dead-letter queue.

    A worker that is killed cannot write why. When that has happened as often as `job_retries`
    allows, SQS moves the message, and only the dead-letter queue knows. The messages stay there.

    Returns:
        The number of jobs that were found.
    """
    url = find_queue(run.aws.sqs, run.names.dead_letter_queue)
    found = 0
    for body in peek(run.aws.sqs, url) if url else ():
        try:
            message = JobMessage.from_body(body)
        except JobFileError:
            continue  # another's, or one that was refused and has its record
        if message.run_id == run.run_id and message.job_id in open_jobs:
            text = json.dumps(given_up(run, message))
            record.put(run, f"results/failed/{message.job_id}.json", text)
            found += 1
    return found


def given_up(run: Run, message: JobMessage) -> dict[str, Any]:
    """The result record of a job whose workers could not write one (docs/contract.schema.json)."""
    now = datetime.now(UTC).isoformat()
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
    }
