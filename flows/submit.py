"""Submission: the job file's groups become messages in the queue."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from prefect import flow
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from blocks import FleetTemplate
from blocks.errors import InputError, NotFound, Problem
from flows.logger import log
from flows.preflight import look
from tasks import record
from tasks.findings import errors
from tasks.job_ids import JobIds
from tasks.jobs import messages
from tasks.load_data import Csvs
from tasks.opening import open_existing, open_job_file
from tasks.queues import find_queue
from tasks.run import Run
from tasks.submit import Undone, count_done, done_ids, send_jobs, write_plan
from tasks.telling import artifact_key, prefect_may_be_away

TELL_SECONDS = 10


@flow(name="dcp-submit")
def submit(
    config: str,
    job: str | None = None,
    run_id: str | None = None,
    credentials: str | None = None,
    plates: list[str] | None = None,
    settings: dict[str, Any] | None = None,
    undone: bool = False,
) -> int:
    """Send the jobs of a run to the queue. Repeated, it sends those not sent yet.

    Args:
        config: Run config: block name, local path or s3:// path.
        job: Job file: block name, local path or s3:// path; left out, the jobs that the run has
            already.
        run_id: Run to submit to; left out, the app's newest.
        credentials: AwsCredentials block to use in place of the config's own.
        plates: Plates to run in place of the job file's own.
        settings: Keys of the run config that take the place of the config's own.
        undone: Leave out the jobs that an earlier run of the app has done.

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
        _plan(run, job, plates or (), undone)
    kept = record.load(run)
    if kept is None or kept.jobs is None:
        remedy = "Give a job file."
        raise InputError(Problem(f"run {run.run_id}", "job", "has no jobs yet", remedy=remedy))
    if done := count_done(run):
        log(
            f"{done} of {kept.jobs} jobs were done by an earlier run and are sent again: "
            "undone=true leaves them out"
        )
    sent = send_jobs(run, queue, _telling(run, kept.jobs))
    log(f"{sent} jobs are in the queue {run.names.queue}")
    return sent


def _plan(run: Run, job: str, plates: Sequence[str], undone: bool) -> None:
    """Write the jobs of a job file into the run's record, if nothing is in their way."""
    kept = record.load(run)
    template = FleetTemplate(**kept.fleet) if kept else FleetTemplate()
    sets = open_job_file(job, run.config.credentials).sets(plates, job)
    with Csvs(run) as csvs:
        if stopping := errors(look(run, sets, job, csvs, template)):
            raise InputError(*stopping)
        done = done_ids(run) if undone else JobIds()
        write_plan(run, Undone(messages(sets, run.run_id, csvs), done))


def _telling(run: Run, jobs: int) -> Callable[[int], None]:
    """Shows how far the submission is, in the log and as an artifact, now and then."""
    told_at = time.monotonic()
    artifact: Any = None

    def tell(sent: int) -> None:
        nonlocal told_at, artifact
        shown_whole = sent == jobs and artifact is not None
        if time.monotonic() - told_at < TELL_SECONDS and not shown_whole:
            return
        told_at = time.monotonic()
        log(f"{sent} of {jobs} jobs are in the queue")
        with prefect_may_be_away():
            if artifact is None:
                key = artifact_key(run, "submission")
                artifact = create_progress_artifact(0.0, key=key, description=f"run {run.run_id}")
            update_progress_artifact(artifact, progress=100.0 * sent / jobs)

    return tell
