"""Retry: runs the failed and lost jobs of a run again, as a new run."""

from typing import Annotated, Any

from prefect.client.schemas.objects import State
from pydantic import Field

from blocks import FleetTemplate
from blocks.loading.load import load_fleet
from blocks.plurals import plural
from flows.lifecycle import Work, begun_before, carry_out, end_cancelled, go_on, name_after, plan
from flows.support.dcp_flow import dcp_flow
from flows.support.flow_run import this_run_id
from flows.support.parameters import Accept, AcceptCost, Config, Credentials, Fleet, RunId, Settings
from tasks.prefect_output.run_log import log
from tasks.report.retry import Choice, again, choose, sets_of
from tasks.runs import record
from tasks.runs.open_run import naming, open_new, with_settings
from tasks.runs.run import Run


@dcp_flow("dcp-retry-failed", on_cancellation=[end_cancelled], on_crashed=[go_on])
def retry_failed(
    config: Config,
    run_id: RunId = None,
    reasons: Annotated[
        list[str] | None, Field(description="Only jobs that failed for one of these reason codes.")
    ] = None,
    plates: Annotated[list[str] | None, Field(description="Only jobs of these plates.")] = None,
    pipeline: Annotated[
        str | None, Field(description="S3 key of a pipeline to run instead of the jobs' own.")
    ] = None,
    settings: Settings = None,
    fleet: Fleet = None,
    credentials: Credentials = None,
    accept_cost: AcceptCost = False,
    accept: Accept = None,
) -> State[Any]:
    """Run only the jobs again that failed or were lost in an earlier run.

    Settings and fleet template are those of the earlier run unless you pass others. If the config
    names another app, app_name and aws_bucket in the settings say which app's run to retry.

    Returns:
        Completed if every job succeeded or was skipped, else Failed, with the counts.
    """
    asking = open_new(config, this_run_id(), credentials, naming(settings))
    run = begun_before(asking)
    if run is not None:
        return carry_out(run)
    earlier = record.find(asking.aws, asking.config, run_id)
    run = Run(with_settings(earlier.config, settings), asking.run_id, earlier.aws)
    name_after(run, subject="retry")
    work = _work(earlier, Choice(reasons or (), plates or ()), run, pipeline)
    plan(run, work, _template(earlier, fleet), accept_cost=accept_cost, accept=accept or ())
    return carry_out(run)


def _work(earlier: Run, choice: Choice, run: Run, pipeline: str | None) -> Work:
    """The chosen jobs of an earlier run as jobs of a new one.

    Raises:
        InputError: No job failed, or none matches the choice.
    """
    rows = choose(earlier, choice)
    jobs = again(earlier, {row.job_id for row in rows}, run.run_id, pipeline)
    log(f"Retrying {plural(len(jobs), 'job')} of run {earlier.run_id}")
    return Work(
        f"the failed jobs of run {earlier.run_id}",
        sets_of(jobs),
        lambda _: jobs,
        sorted({row.plate for row in rows if row.plate}),
        retry_of=earlier.run_id,
    )


def _template(earlier: Run, fleet: str | None) -> FleetTemplate:
    if fleet:
        return load_fleet(fleet, earlier.config.credentials)
    kept = record.load(earlier)
    return FleetTemplate(**(kept.fleet if kept else {}))
