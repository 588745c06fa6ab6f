"""Retry: the jobs of a run that did not succeed, again, as a run of their own."""

from collections.abc import Collection
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Failed

from blocks import FleetTemplate
from blocks.errors import InputError
from blocks.reading import load_fleet
from flows.consent import settle
from flows.full_run import begin, begun_before, carry_out, end_broken_off, go_on
from flows.logger import log
from flows.preflight import look
from flows.running import this_run_id
from tasks import record
from tasks.load_data import Csvs
from tasks.opening import open_existing, with_settings
from tasks.retry import Choice, again, choose, sets_of
from tasks.run import Run


@flow(name="dcp-retry-failed", on_cancellation=[end_broken_off], on_crashed=[go_on])
def retry_failed(
    config: str,
    run_id: str | None = None,
    reasons: list[str] | None = None,
    plates: list[str] | None = None,
    pipeline: str | None = None,
    settings: dict[str, Any] | None = None,
    fleet: str | None = None,
    credentials: str | None = None,
    accept_cost: bool = False,
    accept: list[str] | None = None,
) -> State[Any]:
    """Run the jobs again that failed or were lost in an earlier run, and only these.

    The settings and the fleet template are those of the earlier run, where nothing else is given.

    Args:
        config: Run config of the earlier run: block name, local path or s3:// path.
        run_id: The earlier run; left out, the app's newest.
        reasons: Only jobs with one of these reason codes.
        plates: Only jobs of these plates.
        pipeline: S3 key of a pipeline to run in place of the jobs' own.
        settings: Keys of the run config that take the place of the earlier run's, such as memory;
            app_name and aws_bucket say which app's run it is, where the config names another.
        fleet: Fleet template or DCP fleet file in place of the earlier run's.
        credentials: AwsCredentials block to use in place of the config's own.
        accept_cost: Start also when the run may cost more than cost_limit.
        accept: Codes of errors of preflight in spite of which the run starts, such as
            image_missing: the jobs that they concern will fail again.

    Returns:
        Completed when every job succeeded or was skipped, else Failed, with the counts.
    """
    try:
        run = begun_before(config, credentials, settings)
        if run is None:
            earlier = open_existing(config, run_id, credentials, settings)
            choice = Choice(reasons or (), plates or ())
            run = Run(with_settings(earlier.config, settings), this_run_id(), earlier.aws)
            template = _template(earlier, fleet)
            _plan(run, earlier, choice, pipeline, template, accept_cost, accept or ())
    except InputError as error:
        # As a state, not raised: Prefect would log a traceback above what the reader needs.
        return Failed(message=str(error), data=error)
    return carry_out(run, None, config, credentials, settings)


def _plan(
    run: Run,
    earlier: Run,
    choice: Choice,
    pipeline: str | None,
    template: FleetTemplate,
    accept_cost: bool,
    accept: Collection[str],
) -> None:
    """Look at what the jobs need, and begin their new run; the arguments are those of the flow.

    Raises:
        InputError: Something is in the way; nothing was made.
    """
    jobs = choose(earlier, choice)
    messages = again(earlier, {row.job_id for row in jobs}, run.run_id, pipeline)
    with Csvs(run) as csvs:
        where = f"the failed jobs of run {earlier.run_id}"
        settle(look(run, sets_of(messages), where, csvs, template), accept_cost, accept)
    named = sorted({row.plate for row in jobs if row.plate})
    begin(run, messages, template, named, retry_of=earlier.run_id)
    log(f"{len(messages)} jobs of run {earlier.run_id} are run again")


def _template(earlier: Run, fleet: str | None) -> FleetTemplate:
    if fleet:
        return load_fleet(fleet, earlier.config.credentials)
    kept = record.load(earlier)
    return FleetTemplate(**(kept.fleet if kept else {}))
