"""A batch of plates: one run for all of them, or one a plate."""

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from blocks.errors import InputError
from flows.children import cancel_left_children, run_each, told
from flows.logger import log
from flows.running import this_flow_run
from tasks.opening import open_job_file, open_new
from tasks.plates import plates_to_run, settings_of

FULL_RUN = "dcp/full-run"


@flow(
    name="dcp-plates",
    on_cancellation=[cancel_left_children],
    on_crashed=[cancel_left_children],
)
def run_plates(
    config: str,
    job: str,
    plates: list[str] | None = None,
    one_run: bool = False,
    at_a_time: Annotated[int, Field(ge=1, le=1000)] = 1,
    fleet: str | None = None,
    credentials: str | None = None,
    settings: dict[str, Any] | None = None,
    undone: bool = False,
    accept_cost: bool = False,
    accept: list[str] | None = None,
) -> State[Any]:
    """Run a job file for a list of plates. A plate that fails stops no other.

    Args:
        config: Run config: block name, local path or s3:// path.
        job: Job file: block name, local path or s3:// path.
        plates: The plates; left out, those that have data but no results yet.
        one_run: One run for all plates together; else a run and an app of its own for each.
        at_a_time: The most runs at a time.
        fleet: Fleet template or DCP fleet file: block name, local path or s3:// path; left out,
            the account's default network.
        credentials: AwsCredentials block to use in place of the config's own.
        settings: Keys of the run config that take the place of the config's own.
        undone: Leave out the jobs that an earlier run of the same app has done.
        accept_cost: Start also what may cost more than the config's cost_limit.
        accept: Codes of errors in spite of which a run starts, such as image_missing.

    Returns:
        Completed when every run is, else Failed; either names each plate with its outcome.
    """
    try:
        run = open_new(config, "", credentials, settings)
        file = open_job_file(job, run.config.credentials)
        chosen = plates or plates_to_run(run, file, job)
        if not chosen:
            return Completed(message="no plate has data and no results yet")
        # What is wrong with the name of one is told before the first is begun.
        file.sets(chosen, job)
    except InputError as error:
        # As a state, not raised: Prefect would log a traceback above what the reader needs.
        return Failed(message=str(error), data=error)
    log(f"{len(chosen)} plates: {', '.join(chosen)}")
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
