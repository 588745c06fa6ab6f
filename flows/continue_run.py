"""Continue: finishes the remaining jobs of a run that was stopped."""

from typing import Any

from prefect.client.schemas.objects import State

from blocks.loading.load import load_fleet
from flows.lifecycle import carry_out, continued_by, end_cancelled, go_on, name_after
from flows.support.dcp_flow import dcp_flow
from flows.support.flow_run import this_flow_run
from flows.support.parameters import Config, Credentials, Fleet, RunId, Settings
from tasks.lifecycle.continuation import continued
from tasks.runs.open_run import open_existing


@dcp_flow("dcp-continue", on_cancellation=[end_cancelled], on_crashed=[go_on])
def continue_run(
    config: Config,
    run_id: RunId = None,
    credentials: Credentials = None,
    settings: Settings = None,
    fleet: Fleet = None,
) -> State[Any]:
    """Continue a run that was stopped and kept its queue, until every job has a result.

    max_hours and max_cost start again from zero. Settings and fleet template stay as before unless
    you pass others. Settings may change size, price, time, memory and the like; settings that would
    change the jobs are refused.

    Returns:
        Completed when every job succeeded or was skipped, else Failed, with the counts.
    """
    run = open_existing(config, run_id, credentials, settings)
    name_after(run, subject="continue")
    if not continued_by(
        run, this_flow_run()
    ):  # else its process was killed, and Prefect restarted it
        template = load_fleet(fleet, run.config.credentials) if fleet else None
        run = continued(run, settings, template, str(this_flow_run().id))
    return carry_out(run)
