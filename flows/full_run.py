"""The full run: check, set-up, submission, fleet, monitoring and clean-up in one flow run."""

from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed

from blocks.loading.load import load_fleet
from flows.lifecycle import begun_before, carry_out, end_cancelled, go_on, name_after, plan, work_of
from flows.support.dcp_flow import dcp_flow
from flows.support.flow_run import this_run_id
from flows.support.parameters import (
    Accept,
    AcceptCost,
    Config,
    Credentials,
    Fleet,
    Job,
    Plates,
    Settings,
    Undone,
)
from tasks.runs.open_run import naming, open_new, with_settings
from tasks.runs.run import Run


@dcp_flow("dcp", on_cancellation=[end_cancelled], on_crashed=[go_on])
def dcp(
    config: Config,
    job: Job,
    fleet: Fleet = None,
    credentials: Credentials = None,
    plates: Plates = None,
    settings: Settings = None,
    undone: Undone = False,
    accept_cost: AcceptCost = False,
    accept: Accept = None,
) -> State[Any]:
    """Analyse all jobs of a job file with CellProfiler, on machines launched for them.

    Preflight checks come first: an error stops the run before anything is created. The machines
    are always terminated: on success, after a failure in any step, and when the run is cancelled.

    Returns:
        Completed when every job succeeded or was skipped, else Failed, with the counts.
    """
    asking = open_new(config, this_run_id(), credentials, naming(settings))
    run = begun_before(asking)
    if run is not None:
        return carry_out(run)
    run = Run(with_settings(asking.config, settings), asking.run_id, asking.aws)
    work = work_of(run, job, plates or ())
    name_after(run, work)
    template = load_fleet(fleet, run.config.credentials)
    completed = plan(run, work, template, undone, accept_cost, accept or ())
    if completed:
        return Completed(message=f"Nothing to run: an earlier run completed all jobs ({completed})")
    return carry_out(run)
