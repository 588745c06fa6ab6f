"""The current flow run in Prefect: its id, name and tags."""

from collections.abc import Iterable

from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from flows.support.dcp_flow import SEPARATOR
from tasks.prefect_output.artifacts import prefect_may_be_away
from tasks.runs.run import new_run_id


def this_flow_run() -> FlowRun:
    """The current flow run."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    return context.flow_run


def this_run_id() -> str:
    """The id of the run that the current flow run starts."""
    flow_run = this_flow_run()
    assert flow_run.created is not None
    return new_run_id(flow_run.created, flow_run.id)


def label(parts: Iterable[str], tags: Iterable[str]) -> None:
    """Name the current flow run, and add tags to it.

    Args:
        parts: The parts of the name; empty ones are skipped.
        tags: The tags to add.
    """
    flow_run = this_flow_run()
    name = SEPARATOR.join(filter(None, parts))
    with prefect_may_be_away(), get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, name=name, tags={*flow_run.tags, *tags})
