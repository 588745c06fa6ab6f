"""Preflight: checks everything that a run needs, and creates nothing."""

from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.errors import InputError
from blocks.loading.load import load_fleet
from flows.lifecycle import name_after, work_of
from flows.support.dcp_flow import dcp_flow
from flows.support.parameters import Config, Credentials, Fleet, Job, Plates, Settings
from tasks import steps
from tasks.jobs.load_data_csv import Csvs
from tasks.preflight.finding import errors, summary
from tasks.runs.open_run import open_new


@dcp_flow("dcp-preflight")
def preflight(
    config: Config,
    job: Job,
    fleet: Fleet = None,
    credentials: Credentials = None,
    plates: Plates = None,
    settings: Settings = None,
) -> State[Any]:
    """Check everything that a run needs, and create nothing.

    Returns:
        Completed if the run can start, else Failed with the errors.
    """
    run = open_new(config, "", credentials, settings)
    template = load_fleet(fleet, run.config.credentials)
    work = work_of(run, job, plates or ())
    name_after(run, work)
    with Csvs(run) as csvs:
        findings = steps.check(run, work.sets, job, csvs, template)
    if stopping := errors(findings):
        in_the_way = InputError(*stopping)
        return Failed(message=f"{summary(findings)}\n{in_the_way}", data=in_the_way)
    return Completed(message=summary(findings))
