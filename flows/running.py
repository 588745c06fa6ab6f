"""What a flow knows of its own run in Prefect."""

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from tasks.run import new_run_id


def this_flow_run() -> FlowRun:
    """The flow run that is running here."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    return context.flow_run


def this_run_id() -> str:
    """The id of the run that the flow run makes which is running here."""
    flow_run = this_flow_run()
    assert flow_run.created is not None
    return new_run_id(flow_run.created, flow_run.id)
