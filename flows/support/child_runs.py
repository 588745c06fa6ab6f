"""Flow runs that a flow starts, waits for, cancels, or has started again."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.states import AwaitingRetry, Cancelling
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from blocks.errors import NotFound, PrefectUnreachable, Problem
from flows.support import restart_watch
from tasks.prefect_output.run_log import log

POLL_SECONDS = 5
PAGE = 200  # flow runs in one answer of Prefect
OUTAGE_SECONDS = 1800  # Prefect may be out of reach for this long before the waiting is given up
HOOK_OUTAGE_SECONDS = 600  # what killed a flow run's process may have killed Prefect's server too
STARTS = 5  # of one flow run: what kills its process again and again must not go on forever
RESTART_WITHIN = timedelta(minutes=2)  # a crashed flow run is started again, if at all


def run_each(
    deployment: str, runs: Mapping[str, dict[str, Any]], at_a_time: int, parent: UUID
) -> dict[str, State[Any]]:
    """Start a run of a deployment for each name, so many at a time, and wait for all of them.

    A run that fails stops no other. When this is broken off, those that run are cancelled.

    Args:
        deployment: `flow/deployment`.
        runs: Parameters by name.
        at_a_time: The most runs at a time.
        parent: The flow run that this is called in.

    Returns:
        How each ended, by name.

    Raises:
        NotFound: There is no such deployment.
    """
    waiting = deque(runs.items())
    running: dict[str, UUID] = {}
    ended: dict[str, State[Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                name, parameters = waiting.popleft()
                running[name] = _start(deployment, name, parameters)
            time.sleep(POLL_SECONDS)
            for name, state in {name: _state(one) for name, one in running.items()}.items():
                if state is not None and is_over(state):
                    del running[name]
                    ended[name] = state
                    log(f"{name}: {told(state)}")
    except BaseException:
        cancel_children(parent)
        raise
    return ended


def told(state: State[Any]) -> str:
    """How a run ended, in words."""
    return f"{state.name}: {state.message}" if state.message else str(state.name)


def children_of(parent: UUID) -> list[FlowRun]:
    """The flow runs that a flow run has started."""
    by_parent = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent]))
    found: list[FlowRun] = []
    with get_client(sync_client=True) as client:
        while page := client.read_flow_runs(
            flow_run_filter=by_parent, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=len(found)
        ):
            found += page
    return found


def cancel_children(parent: UUID) -> None:
    """Cancel whatever a flow run has started and what has not ended; each cleans up by itself."""
    for child in children_of(parent):
        if child.state is None or not child.state.is_final():
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(child.id, Cancelling())


def cancel_left_children(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel what a flow run has started that was cancelled itself, or whose process was killed."""
    patient_with_prefect(HOOK_OUTAGE_SECONDS)(cancel_children, flow_run.id)


def _start(deployment: str, name: str, parameters: dict[str, Any]) -> UUID:
    start: Callable[..., Any] = run_deployment
    try:
        made: FlowRun = start(deployment, parameters=parameters, flow_run_name=name, timeout=0)
    except ObjectNotFound as error:
        remedy = "Deploy it: prefect deploy --all --prefect-file deployments/prefect.yaml."
        missing = Problem(f"deployment {deployment}", "", "is not there", remedy=remedy)
        raise NotFound(missing) from error
    log(f"{name} is started: flow run {made.id}")
    return made.id


def _state(flow_run: UUID) -> State[Any] | None:
    with get_client(sync_client=True) as client:
        return patient_with_prefect(OUTAGE_SECONDS)(client.read_flow_run, flow_run).state


def is_over(state: State[Any]) -> bool:
    """Whether a flow run has ended for good, as far as its state can tell."""
    if state.is_crashed():
        return datetime.now(UTC) - state.timestamp > RESTART_WITHIN
    return state.is_final()


def start_again(flow_run: FlowRun) -> bool:
    """Have Prefect start a flow run again whose process was killed; returns whether it will.

    Only a flow run of a deployment has a worker that takes it up, and Prefect must answer.
    """
    if flow_run.deployment_id is None:
        return False
    try:
        scheduled = patient_with_prefect(HOOK_OUTAGE_SECONDS)(_start_again, flow_run)
    except (httpx.HTTPError, PrefectException) as error:
        log(f"Could not have Prefect start flow run {flow_run.id} again: {error}")
        return False
    if scheduled:
        restart_watch.watch_in_background(flow_run.id)
    return scheduled


def _start_again(flow_run: FlowRun) -> bool:
    with get_client(sync_client=True) as client:
        if client.read_flow_run(flow_run.id).run_count >= STARTS:
            return False
        answer: OrchestrationResult[Any] = client.set_flow_run_state(flow_run.id, AwaitingRetry())
    return answer.status is SetStateStatus.ACCEPT


def patient_with_prefect(seconds: float) -> Retrying:
    """Repeat a request for this long while Prefect's server is out of reach."""
    return Retrying(
        retry=retry_if_exception_type((httpx.HTTPError, PrefectUnreachable)),
        wait=wait_random_exponential(max=60),
        stop=stop_after_delay(seconds),
        reraise=True,
    )
