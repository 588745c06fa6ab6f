"""A person approves a cost above the limit before anything is created."""

from collections.abc import Collection, Sequence

from prefect import get_client, get_run_logger
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.settings import get_current_settings
from prefect.states import Running
from prefect.utilities.urls import url_for
from pydantic import Field

from blocks.errors import InputError, Problem
from tasks.preflight.finding import Finding, errors

COST_LIMIT = "cost_limit"
"""Code of the finding that the estimated cost exceeds the config's limit."""

ANSWER_SECONDS = 12 * 3600  # a run started in the evening can be approved in the morning
LOOK_SECONDS = 5
REMEDY = "Start the run with accept_cost=true, raise cost_limit, or make the run smaller."


class StartAtThisCost(RunInput):
    """The form that Prefect's UI shows for a paused run."""

    start: bool = Field(default=False, description="Start the run at this cost.")


def settle(findings: Sequence[Finding], accept_cost: bool, accept: Collection[str] = ()) -> None:
    """Stop the run if preflight found errors that nobody accepted.

    If the only error is a cost above the limit, the flow run pauses until somebody approves it in
    Prefect's UI.

    Args:
        findings: The findings of preflight.
        accept_cost: Whether the cost was accepted when the run was started.
        accept: Codes of errors in spite of which the run starts, such as image_missing; the jobs
            concerned will fail.

    Raises:
        InputError: Errors were not accepted; all are named.
    """
    accepted = {*accept, *((COST_LIMIT,) if accept_cost else ())}
    stopping = [one for one in findings if one.level == "error" and one.code not in accepted]
    for finding in findings:
        if finding.level == "error" and finding.code in accepted:
            get_run_logger().warning("Accepted: %s", finding)
    problems = errors(stopping)
    others = sorted({one.code for one in stopping} - {COST_LIMIT})
    if others:
        get_run_logger().info("To start in spite of these errors, pass accept=%s", others)
        raise InputError(*problems)
    if problems and (why := _refusal(problems)):
        place = Problem("the cost of the run", COST_LIMIT, why, remedy=REMEDY)
        raise InputError(*problems, place)


def _refusal(costs: tuple[Problem, ...]) -> str:
    """Ask a person for approval; returns why the run may not start, or "" if it may."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or not get_current_settings().api.url:
        return "is not accepted, and without a Prefect server nobody can approve it"
    cost = "\n".join(map(str, costs))
    get_run_logger().warning("%s Waiting for approval: %s", cost, url_for(context.flow_run))
    form = StartAtThisCost.with_initial_data(description=cost)
    try:
        answer = pause_flow_run(form, timeout=ANSWER_SECONDS, poll_interval=LOOK_SECONDS)
    except FlowPauseTimeout:
        # Leave the pause, which Prefect would otherwise end with its own message.
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(context.flow_run.id, Running(), force=True)
        return f"was not accepted within {ANSWER_SECONDS / 3600:g} hours"
    return "" if answer.start else "was not accepted"
