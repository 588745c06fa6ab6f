"""A batch of plates: one run for all of them, or one for each."""

from typing import Annotated, Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from blocks.loading.load import load_job
from blocks.plurals import plural
from flows.lifecycle import name_after, work_of
from flows.support.child_runs import cancel_left_children, run_each, told
from flows.support.dcp_flow import dcp_flow
from flows.support.flow_run import this_flow_run
from flows.support.parameters import (
    Accept,
    AcceptCost,
    Config,
    Credentials,
    Fleet,
    Job,
    Settings,
    Undone,
)
from tasks.jobs.plates import settings_of
from tasks.prefect_output.run_log import log
from tasks.runs.open_run import open_new
from tasks.steps import find_plates

FULL_RUN = "dcp/full-run"
BATCH = "plates"  # subject of the flow run's name


@dcp_flow(
    "dcp-plates",
    on_cancellation=[cancel_left_children],
    on_crashed=[cancel_left_children],
)
def run_plates(
    config: Config,
    job: Job,
    plates: Annotated[
        list[str] | None,
        Field(description="The plates (default: those that have data but no results yet)."),
    ] = None,
    one_run: Annotated[
        bool,
        Field(description="One run for all plates together (default: one run and app for each)."),
    ] = False,
    at_a_time: Annotated[int, Field(ge=1, le=1000, description="Most runs at a time.")] = 1,
    fleet: Fleet = None,
    credentials: Credentials = None,
    settings: Settings = None,
    undone: Undone = False,
    accept_cost: AcceptCost = False,
    accept: Accept = None,
) -> State[Any]:
    """Run a job file for a list of plates. A plate that fails stops no other.

    Returns:
        Completed if every run completed, else Failed; either message lists the outcome of each
        plate.
    """
    run = open_new(config, "", credentials, settings)
    name_after(run, subject=BATCH)
    file = load_job(job, run.config.credentials)
    chosen = plates or find_plates(run, file, job)
    if not chosen:
        return Completed(message="Every plate with data has results already")
    # Reports a bad plate name before the first run starts.
    name_after(run, work_of(run, job, chosen), BATCH)
    log(f"{plural(len(chosen), 'plate')}: {', '.join(chosen)}")
    same = {
        "config": config,
        "job": job,
        "fleet": fleet,
        "credentials": credentials,
        "undone": undone,
        "accept_cost": accept_cost,
        "accept": accept,
    }
    if one_run:
        runs = {", ".join(chosen): {**same, "plates": list(chosen), "settings": settings}}
    else:
        runs = {
            plate: {
                **same,
                "plates": [plate],
                "settings": {**(settings or {}), **settings_of(run.names.app, plate)},
            }
            for plate in chosen
        }
    ended = run_each(FULL_RUN, runs, at_a_time, this_flow_run().id)
    text = "\n".join(f"{name}: {told(state)}" for name, state in ended.items())
    if all(state.is_completed() for state in ended.values()):
        return Completed(message=text)
    return Failed(message=text)
