"""Flow runs that a flow starts, waits for, cancels or restarts."""

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
PAGE = 200  # flow runs in one response of Prefect's
OUTAGE_SECONDS = 1800  # retry for this long while Prefect is out of reach
HOOK_OUTAGE_SECONDS = 600  # the server may have died together with the flow run's process
STARTS = 5  # of one flow run: a process that always gets killed is not restarted forever
RESTART_WITHIN = timedelta(minutes=2)  # a crashed flow run is restarted within this time, if at all


def run_each(
    deployment: str, runs: Mapping[str, dict[str, Any]], at_a_time: int, parent: UUID
) -> dict[str, State[Any]]:
    """Start a run of a deployment for each name, a few at a time, and wait for all of them.

    A run that fails stops no other. If this function is interrupted, it cancels the running ones.

    Args:
        deployment: `flow/deployment`.
        runs: Parameters by name.
        at_a_time: Most runs at a time.
        parent: The calling flow run.

    Returns:
        Final state of each run, by name.

    Raises:
        NotFound: The deployment does not exist.
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
    """The name and message of a final state."""
    return f"{state.name}: {state.message}" if state.message else str(state.name)


def children_of(parent: UUID) -> list[FlowRun]:
    """The flow runs that a flow run started."""
    by_parent = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent]))
    found: list[FlowRun] = []
    with get_client(sync_client=True) as client:
        while page := client.read_flow_runs(
            flow_run_filter=by_parent, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=len(found)
        ):
            found += page
    return found


def cancel_children(parent: UUID) -> None:
    """Cancel the unfinished children of a flow run; each cleans up by itself."""
    for child in children_of(parent):
        if child.state is None or not child.state.is_final():
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(child.id, Cancelling())


def cancel_left_children(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel the children of a flow run that was cancelled, or whose process was killed."""
    patient_with_prefect(HOOK_OUTAGE_SECONDS)(cancel_children, flow_run.id)


def _start(deployment: str, name: str, parameters: dict[str, Any]) -> UUID:
    start: Callable[..., Any] = run_deployment
    try:
        made: FlowRun = start(deployment, parameters=parameters, flow_run_name=name, timeout=0)
    except ObjectNotFound as error:
        remedy = "Deploy it: prefect deploy --all --prefect-file deployments/prefect.yaml."
        missing = Problem(f"deployment {deployment}", "", "does not exist", remedy=remedy)
        raise NotFound(missing) from error
    log(f"Started {name}: flow run {made.id}")
    return made.id


def _state(flow_run: UUID) -> State[Any] | None:
    with get_client(sync_client=True) as client:
        return patient_with_prefect(OUTAGE_SECONDS)(client.read_flow_run, flow_run).state


def is_over(state: State[Any]) -> bool:
    """Whether a flow run has ended for good, judging by its state."""
    if state.is_crashed():
        return datetime.now(UTC) - state.timestamp > RESTART_WITHIN
    return state.is_final()


def start_again(flow_run: FlowRun) -> bool:
    """Have Prefect restart a flow run whose process was killed; returns whether it will.

    This needs a flow run of a deployment, which a worker picks up, and a reachable Prefect server.
    """
    if flow_run.deployment_id is None:
        return False
    try:
        scheduled = patient_with_prefect(HOOK_OUTAGE_SECONDS)(_start_again, flow_run)
    except (httpx.HTTPError, PrefectException) as error:
        log(f"Could not restart flow run {flow_run.id}: {error}")
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
    """Retry a request for this long while Prefect's server is out of reach."""
    return Retrying(
        retry=retry_if_exception_type((httpx.HTTPError, PrefectUnreachable)),
        wait=wait_random_exponential(max=60),
        stop=stop_after_delay(seconds),
        reraise=True,
    )
