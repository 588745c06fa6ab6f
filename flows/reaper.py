"""The reaper: monitors and cleans up runs whose flow has died."""

import contextvars
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from blocks import RunConfig
from blocks.credentials.sessions import region_of
from blocks.errors import InputError
from blocks.loading.load import load_credentials
from blocks.plurals import plural
from flows.support.dcp_flow import dcp_flow
from flows.support.parameters import Credentials, Regions
from tasks.account_runs.discovery import Deed, RunState, find_runs, open_run, plan
from tasks.aws.errors import AwsError
from tasks.aws.retries import REAPER_OUTAGE, retrying
from tasks.jobs.results import job_ids
from tasks.lifecycle.cleanup import clean_up
from tasks.monitor.observe import Followed
from tasks.monitor.tick import tick
from tasks.prefect_output.artifacts import prefect_may_be_away
from tasks.prefect_output.run_log import log
from tasks.runs import heartbeat, record
from tasks.runs.lookup import asking
from tasks.runs.run import Run
from tasks.steps import end

AT_A_TIME = 8  # runs


@dataclass(frozen=True)
class Done:
    """What the reaper did about a run.

    Attributes:
        run: The run.
        what: What it did, in words.
        failed: Whether it failed.
    """

    run: RunState
    what: str
    failed: bool = False

    def __str__(self) -> str:
        return f"{self.run.app} {self.run.run_id}: {self.what}"


@dcp_flow("dcp-reaper")
def reaper(
    credentials: Credentials = None,
    regions: Regions = None,
    buckets: Annotated[
        list[str] | None,
        Field(description="Buckets to search for records, besides the buckets that the tags name."),
    ] = None,
    minutes: Annotated[
        float,
        Field(description="How long to monitor runs, in minutes; less than the reaper's schedule."),
    ] = 14,
) -> State[Any]:
    """Monitor and clean up runs that no flow monitors any more.

    A run with machines is monitored until its jobs are done or this reaper's time is over; the next
    reaper continues. Orphaned resources, of runs that have ended or have no record, are deleted.
    Runs that a flow monitors, and resources without a dcp tag, are not touched.

    The reaper monitors runs itself instead of starting dcp-monitor: that would need a deployment, a
    free worker, and something to monitor it in turn. Meanwhile the run counts as watched, so a
    second reaper skips it.

    Returns:
        Completed; or Failed if the reaper failed for a run, and the message names each.
    """
    who = load_credentials(credentials)
    where = regions or [region_of(who)]
    settings = asking("all-apps", who, where[0], "to-be-found")
    until = time.monotonic() + 60 * minutes
    try:
        planned = plan(find_runs(who, where, buckets or ()), datetime.now(UTC))
    except (InputError, *AwsError) as error:
        return Failed(message=f"Could not list runs: {error}", data=error)

    def tend(found: RunState, deed: Deed, why: str) -> Done:
        if deed is Deed.LEAVE:
            return Done(found, f"{found.state}, skipped: {why}")
        log(f"{found.app} {found.run_id}: {why}")
        try:
            return Done(found, _tended(found, deed, why, settings, until))
        except Exception as error:  # noqa: BLE001 (a failure stops no other run; all are reported)
            return Done(found, f"{type(error).__name__}: {error}", failed=True)

    with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="reaper") as pool:
        # With this flow run's context, so that log lines belong to it.
        begun = [
            pool.submit(contextvars.copy_context().run, tend, found, deed, why)
            for found, deed, why in planned
        ]
        done = [one.result() for one in begun]
    for one in done:
        log(str(one))
    return _state(done)


def _state(done: list[Done]) -> State[Any]:
    failed = [one for one in done if one.failed]
    with prefect_may_be_away():
        create_markdown_artifact(
            "\n".join(f"- {one}" for one in done) or "No run has resources in AWS.",
            key="dcp-reaper",
            description=f"{plural(len(done), 'run')}, {len(failed)} failed",
        )
    if failed:
        return Failed(message="\n".join(map(str, failed)))
    return Completed(message="; ".join(map(str, done)) or "nothing to do")


def _tended(found: RunState, deed: Deed, why: str, settings: RunConfig, until: float) -> str:
    run = open_run(found, settings)
    if found.record is not None and heartbeat.watched(run):
        return "watched meanwhile, skipped"
    if deed is Deed.TICK:
        return _ticked_on(run, until)
    note = f"cleaned up by dcp-reaper: {why}"
    if found.record is not None and found.record.state != "ended":
        return end(run, abandon=True, note=note).summary
    # A report was written already, or there is no record to write one from.
    outcome = clean_up(run, found.record is not None, note, recorded=found.record is not None)
    if outcome.failures:
        raise RuntimeError("; ".join(outcome.failures))
    return f"cleaned up: {why}" + (f"; {outcome.kept}" if outcome.kept else "")


def _ticked_on(run: Run, until: float) -> str:
    """Monitor the run instead of its flow; when it is over, clean it up."""
    kept = record.load(run)
    # A run that was set up but never planned has no jobs, so its machines have nothing to do.
    jobs = Followed(job_ids(run) if kept is not None and kept.jobs is not None else frozenset())
    step: Callable[..., Any] = retrying(REAPER_OUTAGE).wraps(tick)
    with heartbeat.kept(run):
        while True:
            seen, decision = step(run, jobs)
            if decision.done:
                abandon = decision.lost or not decision.stop
                report = end(run, abandon=abandon, note=decision.stop)
                return f"cleaned up: {report.summary}" + (
                    f"; {decision.stop}" * bool(decision.stop)
                )
            counts = ", ".join(f"{number} {name}" for name, number in seen.account.counts().items())
            if not seen.machines and not seen.target:
                return f"waiting without machines: {counts}"
            if time.monotonic() + decision.look_after > until:
                return f"still running: {counts}"
            time.sleep(decision.look_after)
