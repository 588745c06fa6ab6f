"""Continuing a run that was stopped with jobs left over, from where it stopped to its end."""

from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Failed

from blocks.errors import InputError, NotFound
from blocks.reading import load_fleet
from flows.full_run import carry_out, end_active, go_on_with
from flows.running import this_flow_run
from tasks import record
from tasks.continuing import continued
from tasks.opening import open_existing
from tasks.run import Run


def end_broken_off(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Clean up after a continued run that was cancelled.

    Prefect calls this in a process of its own.
    """
    if run := _run_of(flow_run):
        end_active(run, f"the run was broken off ({state.name})")


def go_on(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Go on with a continued run whose flow's process was killed, as with any run.

    Prefect calls this as it calls `end_broken_off`.
    """
    if run := _run_of(flow_run):
        go_on_with(run, flow_run, state)


def _run_of(flow_run: FlowRun) -> Run | None:
    """The run that a flow run has continued, or None when it has not begun to.

    A run that somebody else looks after, or that waits in its queue, is none of its business.
    """
    given = flow_run.parameters
    try:
        run = open_existing(
            given["config"], given.get("run_id"), given.get("credentials"), given.get("settings")
        )
    except NotFound:
        return None
    return run if _continued_by(run, flow_run) else None


def _continued_by(run: Run, flow_run: FlowRun) -> bool:
    kept = record.load(run)
    return kept is not None and kept.continued_by == str(flow_run.id)


@flow(name="dcp-continue", on_cancellation=[end_broken_off], on_crashed=[go_on])
def continue_run(
    config: str,
    run_id: str | None = None,
    credentials: str | None = None,
    settings: dict[str, Any] | None = None,
    fleet: str | None = None,
) -> State[Any]:
    """Go on with a run that was stopped and kept its queue, until every job has a result.

    It may last max_hours and cost max_cost once more. The settings and the fleet template are
    those it was begun with, where nothing else is given.

    Args:
        config: Run config: block name, local path or s3:// path.
        run_id: Run to continue; left out, the app's newest.
        credentials: AwsCredentials block to use in place of the config's own.
        settings: Keys of the run config that change from now on: size, price, time, memory and
            the like. What would change the jobs is refused.
        fleet: Fleet template or DCP fleet file from now on.

    Returns:
        Completed when every job succeeded or was skipped, else Failed, with the counts.
    """
    try:
        found = open_existing(config, run_id, credentials, settings)
        if _continued_by(found, this_flow_run()):  # it was killed, and is started again
            run = found
        else:
            template = load_fleet(fleet, found.config.credentials) if fleet else None
            run = continued(found, settings, template, str(this_flow_run().id))
    except InputError as error:
        # As a state, not raised: Prefect would log a traceback above what the reader needs.
        return Failed(message=str(error), data=error)
    return carry_out(run, None, config, credentials, settings)
