"""What a flow knows of its own run in Prefect."""

from prefect.context import FlowRunContext

from tasks.run import new_run_id


def this_run_id() -> str:
    """The id of the run that the flow run makes which is running here."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    assert context.flow_run.created is not None
    return new_run_id(context.flow_run.created, context.flow_run.id)
