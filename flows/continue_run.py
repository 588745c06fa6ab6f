"""Continuing a run that was stopped with jobs left over, from where it stopped to its end."""

from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Failed

from blocks.errors import InputError, NotFound
from blocks.reading import load_fleet
from flows.full_run import carry_out, end_active
from tasks.continuing import continued
from tasks.opening import open_existing


def end_broken_off(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Clean up after a continued run that was cancelled or whose process was killed.

    Prefect calls this in a process of its own.
    """
    given = flow_run.parameters
    try:
        run = open_existing(
            given["config"], given.get("run_id"), given.get("credentials"), given.get("settings")
        )
    except NotFound:
        return
    end_active(run, f"the run was broken off ({state.name})")


@flow(name="dcp-continue", on_cancellation=[end_broken_off], on_crashed=[end_broken_off])
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
        template = load_fleet(fleet, found.config.credentials) if fleet else None
        run = continued(found, settings, template)
    except InputError as error:
        # As a state, not raised: Prefect would log a traceback above what the reader needs.
        return Failed(message=str(error), data=error)
    return carry_out(run, None, config, credentials, settings)
