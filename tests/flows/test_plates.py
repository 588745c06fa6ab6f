"""`dcp-plates`: a batch of plates, with a process worker that does the runs."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from lab import Lab
from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.states import Cancelling
from waiting import wait_for

from flows.plates import run_plates
from flows.support.child_runs import children_of
from tasks.fleet.find import find_fleets
from tasks.lifecycle.leftovers import left_running
from tasks.runs import record

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("pool")]

BY_WELL = {"by": ["Metadata_Plate", "Metadata_Well"]}


def batch(lab: Lab, **plates: list[str]) -> str:
    """Write plates with these wells, and a job file for any plate; returns its path."""
    for plate, wells in plates.items():
        lab.plate(plate, *wells, csv=f"csv/{plate}/load_data.csv")
    return lab.job_file(data_file="csv/{plate}/load_data.csv", groups=BY_WELL)


def test_new_plates_have_runs_of_their_own_and_one_that_fails_stops_no_other(lab: Lab) -> None:
    job = batch(lab, P1=["A01", "fail"], P2=["A01", "A02"], P3=["A01"])
    lab.put("out/P3-A01/Image.csv", "an earlier result")
    state: State[Any] = run_plates(lab.config, job, at_a_time=2, return_state=True)
    assert state.is_failed()
    outcome = dict(line.split(": ", 1) for line in str(state.message).splitlines())
    assert set(outcome) == {"P1", "P2"}
    assert outcome["P1"].startswith("Failed: 1 of 2 jobs failed: ")
    assert outcome["P2"].startswith("Completed: 2 jobs: 2 succeeded")
    for plate in ("P1", "P2"):
        run = lab.app(f"{lab.settings.app_name}_{plate}")
        kept = record.load(run)
        assert kept is not None
        assert kept.plates == (plate,)
        assert left_running(run) == []
    again: State[Any] = run_plates(lab.config, job, return_state=True)
    assert again.is_completed()
    assert again.message == "Every plate with data has results already"


def test_one_run_for_all_plates(lab: Lab) -> None:
    job = batch(lab, P1=["A01"], P2=["A01"])
    state: State[Any] = run_plates(lab.config, job, ["P1", "P2"], one_run=True, return_state=True)
    assert state.is_completed()
    assert str(state.message).startswith("P1, P2: Completed: 2 jobs: 2 succeeded")
    assert lab.outputs() == {"out/P1-A01/Image.csv", "out/P2-A01/Image.csv"}
    kept = record.load(lab.run())
    assert kept is not None
    assert kept.plates == ("P1", "P2")


def test_plates_of_one_csv_must_be_named(lab: Lab) -> None:
    lab.plate("P1", "A01")
    job = lab.job_file(data_file="p/a.csv", groups=BY_WELL)
    state: State[Any] = run_plates(lab.config, job, return_state=True)
    assert state.is_failed()
    assert "{plate}" in str(state.message)


def test_a_batch_that_is_cancelled_cancels_its_runs(lab: Lab) -> None:
    job = batch(lab, P1=["hang"], P2=["hang"])
    start: Callable[..., Any] = run_deployment
    parent: FlowRun = start(
        "dcp-plates/plates", parameters={"config": lab.config, "job": job}, timeout=0
    )
    first = f"{lab.settings.app_name}_P1"
    wait_for(lambda: lab.app(first).run_id and find_fleets(lab.app(first)), "machines of P1")
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(parent.id, Cancelling())
    wait_for(lambda: state_of(parent.id) == "CANCELLED", "the batch to be cancelled")
    (only,) = children_of(parent.id)
    wait_for(lambda: state_of(only.id) == "CANCELLED", "its run to be cancelled")
    wait_for(lambda: not left_running(lab.app(first)), "the machines to be ended")
    assert lab.app(f"{lab.settings.app_name}_P2").run_id == "", "the next was not begun"


def state_of(flow_run: UUID) -> str | None:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow_run).state
    return state.type.value if state else None
