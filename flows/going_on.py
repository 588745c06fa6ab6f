"""A flow run whose process was killed: Prefect starts it again, and it goes on with its own run."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.states import AwaitingRetry
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

STARTS = 5  # of one flow run: what kills its process again and again is not to go on for ever
HOOK = timedelta(minutes=2)  # in which a crashed flow run is started again, if it is at all
OUTAGE_SECONDS = 600  # what ended the process may have taken Prefect's server along


def start_again(flow_run: FlowRun) -> bool:
    """Have Prefect start a flow run again; whether it will.

    Only a flow run of a deployment has a worker that takes it up.
    """
    if flow_run.deployment_id is None:
        return False
    patient = Retrying(
        retry=retry_if_exception_type(httpx.HTTPError),
        wait=wait_random_exponential(max=30),
        stop=stop_after_delay(OUTAGE_SECONDS),
        reraise=True,
    )
    return patient(_start_again, flow_run)


def _start_again(flow_run: FlowRun) -> bool:
    with get_client(sync_client=True) as client:
        if client.read_flow_run(flow_run.id).run_count >= STARTS:
            return False
        answer: OrchestrationResult[Any] = client.set_flow_run_state(flow_run.id, AwaitingRetry())
    return answer.status is SetStateStatus.ACCEPT


def is_over(state: State[Any]) -> bool:
    """Whether a flow run has ended for good, as far as its state can tell."""
    if state.is_crashed():
        return datetime.now(UTC) - state.timestamp > HOOK
    return state.is_final()
