"""What a run may cost is confirmed by a person before anything is made."""

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
"""The code of the finding that the cost may be above the config's limit."""

ANSWER_SECONDS = 12 * 3600  # a run of the evening can be confirmed in the morning
LOOK_SECONDS = 5
REMEDY = "Start the run with accept_cost=true, raise cost_limit, or make the run smaller."


class StartAtThisCost(RunInput):
    """The form that Prefect's UI shows of a run that waits."""

    start: bool = Field(default=False, description="Start the run at this cost.")


def settle(findings: Sequence[Finding], accept_cost: bool, accept: Collection[str] = ()) -> None:
    """See that nothing that was found is in the way of the run.

    A cost above the limit, when it is all that is, is put to a person: the flow run waits for an
    answer in Prefect's UI.

    Args:
        findings: What preflight found.
        accept_cost: The cost was accepted when the run was started.
        accept: Codes of errors in spite of which the run starts, such as image_missing: the jobs
            that they concern will fail.

    Raises:
        InputError: Something is in the way; each is named.
    """
    accepted = {*accept, *((COST_LIMIT,) if accept_cost else ())}
    stopping = [one for one in findings if one.level == "error" and one.code not in accepted]
    for finding in findings:
        if finding.level == "error" and finding.code in accepted:
            get_run_logger().warning("%s It was accepted.", finding)
    problems = errors(stopping)
    others = sorted({one.code for one in stopping} - {COST_LIMIT})
    if others:
        get_run_logger().info("Errors that are meant so can be accepted: accept=%s", others)
        raise InputError(*problems)
    if problems and (why := _refusal(problems)):
        place = Problem("the cost of the run", COST_LIMIT, why, remedy=REMEDY)
        raise InputError(*problems, place)


def _refusal(costs: tuple[Problem, ...]) -> str:
    """Ask whether the run may start; returns why it may not, or "" when it may."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or not get_current_settings().api.url:
        return "is not accepted, and there is no Prefect server where one could ask"
    cost = "\n".join(map(str, costs))
    get_run_logger().warning("%s Waiting for an answer: %s", cost, url_for(context.flow_run))
    form = StartAtThisCost.with_initial_data(description=cost)
    try:
        answer = pause_flow_run(form, timeout=ANSWER_SECONDS, poll_interval=LOOK_SECONDS)
    except FlowPauseTimeout:
        # Out of the pause, which Prefect would end with a text of its own.
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(context.flow_run.id, Running(), force=True)
        return f"was not accepted within {ANSWER_SECONDS / 3600:g} hours"
    return "" if answer.start else "was not accepted"
