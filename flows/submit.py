"""Submission: the job file's groups become messages in the queue."""

from typing import Any

from prefect import flow

from blocks.errors import InputError, NotFound, Problem
from flows.logger import log
from tasks import record
from tasks.jobs import messages
from tasks.load_data import Csvs
from tasks.opening import open_existing, open_job_file
from tasks.preflight import check
from tasks.queues import find_queue
from tasks.submit import send_jobs, write_plan


@flow(name="dcp-submit")
def submit(
    config: str,
    job: str | None = None,
    run_id: str | None = None,
    credentials: str | None = None,
    settings: dict[str, Any] | None = None,
) -> int:
    """Send the jobs of a run to the queue. Repeated, it sends those not sent yet.

    Args:
        config: Run config: block name, local path or s3:// path.
        job: Job file: block name, local path or s3:// path; left out, the jobs that the run has
            already.
        run_id: Run to submit to; left out, the app's newest.
        credentials: AwsCredentials block to use in place of the config's own.
        settings: Keys of the run config that take the place of the config's own.

    Returns:
        The number of jobs of the run.
    """
    run = open_existing(config, run_id, credentials, settings)
    queue = find_queue(run.aws.sqs, run.names.queue)
    if queue is None:
        raise NotFound(
            Problem(f"run {run.run_id}", "", "has no queue", run.names.queue, remedy="Set it up.")
        )
    if job is not None:
        jobs = open_job_file(run, job)
        check(run, jobs, job)
        with Csvs(run) as csvs:
            write_plan(run, messages(jobs.sets(where=job), run.run_id, csvs))
    kept = record.load(run)
    if kept is None or kept.jobs is None:
        remedy = "Give a job file."
        raise InputError(Problem(f"run {run.run_id}", "job", "has no jobs yet", remedy=remedy))
    sent = send_jobs(run, queue)
    log(f"{sent} jobs are in the queue {run.names.queue}")
    return sent
