"""Submission: sends the jobs of a job file to the queue."""

from typing import Annotated

from pydantic import Field

from blocks import FleetTemplate
from flows.lifecycle import name_after, plan, work_of
from flows.support.dcp_flow import dcp_flow
from flows.support.parameters import (
    Accept,
    AcceptCost,
    Config,
    Credentials,
    Plates,
    RunId,
    Settings,
    Undone,
)
from tasks import steps
from tasks.prefect_output.run_log import log
from tasks.runs import record
from tasks.runs.open_run import open_existing


@dcp_flow("dcp-submit")
def submit(
    config: Config,
    job: Annotated[
        str | None,
        Field(
            description="Job file: block name, local path or s3:// path "
            "(default: the jobs already in the run's record)."
        ),
    ] = None,
    run_id: RunId = None,
    credentials: Credentials = None,
    plates: Plates = None,
    settings: Settings = None,
    undone: Undone = False,
    accept_cost: AcceptCost = False,
    accept: Accept = None,
) -> int:
    """Send the jobs of a run to the queue. Safe to repeat: jobs already sent are skipped.

    Returns:
        The number of jobs of the run.
    """
    run = open_existing(config, run_id, credentials, settings)
    name_after(run, subject="submission")
    steps.require_queue(run)
    if job is not None:
        kept = record.load(run)
        template = FleetTemplate(**kept.fleet) if kept else FleetTemplate()
        work = work_of(run, job, plates or ())
        completed = plan(run, work, template, undone, accept_cost, accept or (), set_up=True)
        if completed:
            log(f"Nothing to send: an earlier run completed all jobs ({completed})")
            return 0
    return steps.submit(run)
