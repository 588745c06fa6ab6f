"""A run that may cost more than its limit asks a person before anything is made."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from lab import Lab
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.flow_runs import resume_flow_run
from waiting import wait_for

import flows.support.cost_approval
from deployments.local.emulator_client import Emulator
from flows.full_run import dcp

pytestmark = pytest.mark.e2e


@pytest.fixture
def emulator(switched: Emulator) -> Emulator:
    """An account in which a machine costs something."""
    now = datetime.now(UTC).isoformat()
    spot = {"machine_type": "m5.xlarge", "zone": "us-east-1a", "at": now, "usd": 0.08}
    switched.set_account(spot=[spot], on_demand={"m5.xlarge": 0.192})
    return switched


@pytest.fixture
def dear(make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(flows.support.cost_approval, "LOOK_SECONDS", 1)
    return make_lab(cost_limit=0.01, seconds_per_job=3600)


def waiting_runs(lab: Lab) -> list[FlowRun]:
    """The flow runs of the lab that wait for an answer."""
    paused = FlowRunFilter(state=FlowRunFilterState(type={"any_": [StateType.PAUSED]}))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=paused)
    return [one for one in found if one.parameters.get("config") == lab.config]


def answer(lab: Lab, start: bool, asked: list[FlowRun]) -> None:
    """Fill in the form of the flow run that waits."""
    run, *_ = wait_for(lambda: waiting_runs(lab), "a flow run that asks")
    asked.append(run)
    say: Callable[..., Any] = resume_flow_run
    say(run.id, run_input={"start": start})


def answered(lab: Lab, start: bool) -> State[Any]:
    """Run while a person says yes or no."""
    asked: list[FlowRun] = []
    person = threading.Thread(target=answer, args=(lab, start, asked))
    person.start()
    state: State[Any] = dcp(lab.config, lab.jobs("A01"), return_state=True)
    person.join()
    assert asked
    return state


def test_a_yes_lets_the_run_start(dear: Lab) -> None:
    assert answered(dear, True).message == "1 job: 1 succeeded, 0 skipped, 0 failed, 0 lost"


def test_a_no_ends_it_with_nothing_made(dear: Lab) -> None:
    state = answered(dear, False)
    assert state.is_failed()
    assert "USD" in str(state.message)
    assert "was not accepted" in str(state.message)
    assert dear.run().run_id == ""


def test_nobody_answers_and_nothing_is_made(dear: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.support.cost_approval, "ANSWER_SECONDS", 2)
    state: State[Any] = dcp(dear.config, dear.jobs("A01"), return_state=True)
    assert state.is_failed()
    assert "USD" in str(state.message)
    assert "was not accepted within" in str(state.message)
    assert dear.run().run_id == ""


def test_an_accepted_cost_is_not_asked_for(dear: Lab) -> None:
    job = dear.jobs("A01")
    state: State[Any] = dcp(dear.config, job, accept_cost=True, return_state=True)
    assert state.message == "1 job: 1 succeeded, 0 skipped, 0 failed, 0 lost"


def test_other_errors_are_told_without_asking(dear: Lab) -> None:
    job = dear.jobs("A01")
    dear.aws.s3.delete_object(Bucket=dear.settings.aws_bucket, Key="p/a.cppipe")
    state: State[Any] = dcp(dear.config, job, return_state=True)
    assert state.is_failed()
    assert "p/a.cppipe" in str(state.message)
    assert "USD" in str(state.message), "what it costs is told with the rest"
