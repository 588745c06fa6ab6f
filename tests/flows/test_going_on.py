"""A run whose flow's process was killed: started again where a worker can, ended elsewhere."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Thread
from uuid import UUID, uuid4

import httpx
import pytest
from botocore.exceptions import EndpointConnectionError
from lab import CSV, Lab
from prefect import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import AwaitingRetry, Cancelled, Completed, Crashed, Failed, Pending, Running

from blocks.errors import AwsUnreachable, NotFound, PrefectUnreachable, Problem
from flows import full_run, lifecycle
from flows.full_run import dcp
from flows.lifecycle import end_cancelled, go_on
from flows.setup import setup
from flows.support import child_runs, restart_watch
from flows.support.child_runs import RESTART_WITHIN, is_over, start_again
from tasks.lifecycle.cleanup import left_running
from tasks.prefect_output.artifacts import artifact_key
from tasks.runs import record
from tasks.runs.run import Run


@pytest.mark.parametrize("state", [Completed(), Failed(), Cancelled()])
def test_a_flow_run_that_came_to_an_end_is_over(state: State) -> None:
    assert is_over(state)


def test_a_crashed_flow_run_may_be_started_again_for_a_while() -> None:
    assert not is_over(Running())
    assert not is_over(Crashed())
    assert is_over(Crashed(timestamp=datetime.now(UTC) - 2 * RESTART_WITHIN))


def begun(lab: Lab) -> FlowRun:
    """A flow run of the lab's own whose run has begun, and has gone no further."""
    state: State = setup(lab.config, return_state=True)
    with get_client(sync_client=True) as client:
        assert state.state_details.flow_run_id is not None
        flow_run = client.read_flow_run(state.state_details.flow_run_id)
    return flow_run.model_copy(update={"parameters": {"config": lab.config}})


@pytest.mark.e2e
def test_a_run_that_was_killed_while_it_was_planned_does_not_stay_active(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started again, its flow run cannot plan it: the app would be blocked by it."""
    run = Run(lab.settings, "20260301-120000-abcdef", lab.aws)
    record.begin(run)
    monkeypatch.setattr(full_run, "this_run_id", lambda: run.run_id)
    job = lab.job_file(data_file=CSV, groups=[{"Metadata": "Metadata_Plate=P1,Metadata_Well=A01"}])
    state: State = dcp(lab.config, job, return_state=True)
    assert state.is_failed()
    assert "a.cppipe" in str(state.message)
    kept = record.load(run)
    assert kept is not None
    assert kept.state == "ended"


@pytest.mark.e2e
def test_a_run_that_no_worker_can_start_again_is_ended(lab: Lab) -> None:
    flow_run = begun(lab)
    go_on(dcp, flow_run, Crashed())
    assert left_running(lab.run()) == []
    kept = record.load(lab.run())
    assert kept is not None
    assert kept.state == "ended"
    key = artifact_key(lab.run(), "report")
    with get_client(sync_client=True) as client:
        shown = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id])),
        )
    assert len(shown) == 1, "the report is on the page of the flow run that was killed"


@pytest.mark.e2e
def test_a_flow_run_is_started_again_but_not_for_ever(
    pool: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name("dcp/full-run")
        # Not scheduled: a worker may be there, and would start it.
        flow_run = client.create_flow_run_from_deployment(
            found.id, parameters={"config": "none", "job": "none"}, state=Pending()
        )
        client.set_flow_run_state(flow_run.id, Crashed(), force=True)
        flow_run = client.read_flow_run(flow_run.id)
    monkeypatch.setattr(child_runs, "STARTS", flow_run.run_count)
    assert not start_again(flow_run)
    with get_client(sync_client=True) as client:
        crashed = client.read_flow_run(flow_run.id).state
        assert crashed is not None
        assert crashed.is_crashed()
    monkeypatch.setattr(child_runs, "STARTS", flow_run.run_count + 1)
    watched: list[UUID] = []
    monkeypatch.setattr(restart_watch, "watch_in_background", watched.append)
    assert start_again(flow_run)
    assert watched == [flow_run.id]


LOST = [Pending(), Running(), Crashed(), AwaitingRetry()]


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ([Crashed()], StateType.SCHEDULED),  # the worker's own report
        ([Pending(), Crashed()], StateType.CRASHED),  # a worker has taken it up: it starts
        ([Pending(), Running()], StateType.RUNNING),
        ([Cancelled()], StateType.CANCELLED),
    ],
)
def test_a_crash_that_is_reported_once_more_does_not_keep_it_from_being_started(
    prefect: None, since: list[State], expected: StateType
) -> None:
    """The flow run is one that no worker takes up: what a worker reports comes from here."""
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow_from_name("alone"), "alone")
        flow_run = client.create_flow_run_from_deployment(deployment)
        for state in LOST:
            client.set_flow_run_state(flow_run.id, state, force=True)
        watching = Thread(target=restart_watch.watch, args=[flow_run.id])
        watching.start()
        for state in since:
            client.set_flow_run_state(flow_run.id, state, force=True)
        watching.join(60)
        found = client.read_flow_run(flow_run.id).state
    assert found is not None
    assert found.type is expected


def test_prefect_may_be_away_when_a_flow_run_is_to_be_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([httpx.ConnectError("away"), httpx.ReadTimeout("away"), None])

    def ask(flow_run: FlowRun) -> bool:
        if error := next(answers):
            raise error
        return True

    monkeypatch.setattr(child_runs, "_start_again", ask)
    monkeypatch.setattr(restart_watch, "watch_in_background", lambda flow_run_id: None)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    assert start_again(FlowRun(flow_id=uuid4(), deployment_id=uuid4()))


@pytest.mark.parametrize("hook", [go_on, end_cancelled])
@pytest.mark.parametrize(
    "away",
    [
        PrefectUnreachable("away"),
        AwsUnreachable("away"),
        EndpointConnectionError(endpoint_url="s3"),
    ],
)
def test_prefect_and_aws_may_be_away_when_the_run_of_a_killed_flow_is_looked_up(
    away: Exception, hook: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken for a run that does not exist, it would be left with its machines."""
    answers = iter([away, away])
    opened = []

    def find(config: str, run_id: str, *_: object) -> None:
        opened.append(config)
        if error := next(answers, None):
            raise error
        raise NotFound(Problem("run", "", "does not exist"))

    monkeypatch.setattr(lifecycle, "open_existing", find)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    parameters = {"config": "saved", "job": "job"}
    flow_run = FlowRun(flow_id=uuid4(), parameters=parameters, created=datetime.now(UTC))
    hook(dcp, flow_run, Crashed())
    assert opened[:3] == ["saved"] * 3


@pytest.mark.parametrize("error", [httpx.ConnectError("away"), ObjectNotFound(KeyError("deleted"))])
def test_what_prefect_cannot_start_again_is_not_started(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(flow_run: FlowRun) -> bool:
        raise error

    monkeypatch.setattr(child_runs, "_start_again", ask)
    monkeypatch.setattr(child_runs, "HOOK_OUTAGE_SECONDS", 0)
    assert not start_again(FlowRun(flow_id=uuid4(), deployment_id=uuid4()))
