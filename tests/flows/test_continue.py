"""`dcp-continue`: a run that was stopped with jobs left over comes to its end, each job once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from lab import CSV, Lab
from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Crashed

import flows.continue_run
import flows.full_run
import flows.lifecycle
from blocks.errors import InputError
from flows.continue_run import continue_run
from flows.full_run import dcp
from flows.lifecycle import go_on
from tasks import steps
from tasks.fleet.find import find_fleets
from tasks.jobs.queues import count, find_queue
from tasks.jobs.results import account
from tasks.lifecycle.cleanup import left_running
from tasks.runs import heartbeat, record
from tasks.runs.run import Run

pytestmark = pytest.mark.e2e

SECONDS = 30  # that a job is said to take: nothing new is begun three times so long before the end


@pytest.fixture
def stopped(make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A run of ten jobs of 8 s that max_hours stopped while the first was at work.

    For ten jobs of half a minute one machine is asked for: more would start for longer than work.
    """
    lab = make_lab(max_hours=1, seconds_per_job=SECONDS)
    lab.aws.s3.put_bucket_versioning(
        Bucket=lab.settings.aws_bucket, VersioningConfiguration={"Status": "Enabled"}
    )

    def nearly_over(run: Run) -> Any:
        began = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=3 * SECONDS + 5)
        record.update(lab.run(), started_at=began)
        return watch_to_its_end(run)

    watch_to_its_end = steps.monitor
    wells = [f"A{column:02}" for column in range(1, 11)]
    lab.plate("slow", *wells)
    groups = [{"Metadata": f"Metadata_Plate=slow,Metadata_Well={well}"} for well in wells]
    job = lab.job_file(data_file=CSV, groups=groups)
    with monkeypatch.context() as patched:
        patched.setattr(steps, "monitor", nearly_over)
        state = dcp(lab.config, job, return_state=True)
    assert state.is_failed()
    assert "dcp continue" in (state.message or "")
    return lab


def versions(lab: Lab) -> int:
    """How often an output was written."""
    pages = lab.aws.s3.get_paginator("list_object_versions").paginate(
        Bucket=lab.settings.aws_bucket, Prefix="out/"
    )
    return sum(len(page.get("Versions", [])) for page in pages)


def kept(run: Run) -> record.RunRecord:
    found = record.load(run)
    assert found is not None
    return found


def test_a_run_that_reached_its_max_hours_is_continued_to_its_end(stopped: Lab) -> None:
    lab, run = stopped, stopped.run()
    queue = find_queue(lab.aws.sqs, lab.settings.names.queue)
    assert queue is not None
    left = len(account(run).open)
    assert left == 9, "what was at work came to its end"
    assert count(lab.aws.sqs, queue).total == left
    assert kept(run).state == "active"

    wrong = continue_run(lab.config, settings={"source_bucket": "other-bucket"}, return_state=True)
    assert "source_bucket" in str(wrong.result(raise_on_failure=False))
    assert kept(run).continued_at is None, "nothing was begun"

    # Its flow run is retried in Prefect.
    record.update(run, started_at=datetime.now(UTC) - timedelta(hours=2))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flows.full_run, "this_run_id", lambda: run.run_id)
        again = dcp(lab.config, str(lab.folder / "job.yaml"), return_state=True)
    assert "has already used its 1 h" in str(again.result(raise_on_failure=False))
    assert count(lab.aws.sqs, queue).total == left, "who retries the flow run loses no job"
    assert kept(run).state == "active"

    state = continue_run(lab.config, settings={"cluster_machines": 4}, return_state=True)
    assert state.message == "10 jobs: 10 succeeded, 0 skipped, 0 failed, 0 lost"
    assert lab.run().run_id == run.run_id
    assert kept(run).state == "ended"
    assert kept(run).config["cluster_machines"] == 4
    assert len(lab.outputs()) == versions(lab) == 10
    assert record.read(run, record.FINISH) is None
    assert left_running(run) == []

    over = continue_run(lab.config, return_state=True)
    error = over.result(raise_on_failure=False)
    assert isinstance(error, InputError)
    assert "has ended" in str(error)


def test_a_continued_run_whose_flow_was_killed_is_gone_on_with(
    stopped: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is started again as it was, while its own beat is still young, and its hours go on."""
    lab, run = stopped, stopped.run()
    started_again: list[UUID] = []

    def worker(flow_run: FlowRun) -> bool:
        started_again.append(flow_run.id)
        return True

    monkeypatch.setattr(flows.lifecycle, "start_again", worker)
    with monkeypatch.context() as patched:
        patched.setattr(flows.continue_run, "carry_out", killed_with_machines)
        state = continue_run(lab.config, return_state=True)
    assert find_fleets(run)
    assert heartbeat.watched(run), "by the flow run that was killed"
    begun = kept(run).continued_at

    with get_client(sync_client=True) as client:
        assert state.state_details.flow_run_id is not None
        mine = client.read_flow_run(state.state_details.flow_run_id)
    mine = mine.model_copy(update={"parameters": {"config": lab.config}})
    go_on(continue_run, mine.model_copy(update={"id": uuid4()}), Crashed())
    assert started_again == [], "another flow run's end is not this run's"
    go_on(continue_run, mine, Crashed())
    assert started_again == [mine.id]
    assert kept(run).state == "active"

    monkeypatch.setattr(flows.continue_run, "this_flow_run", lambda: mine)
    state = continue_run(lab.config, return_state=True)
    assert state.message == "10 jobs: 10 succeeded, 0 skipped, 0 failed, 0 lost"
    assert kept(run).continued_at == begun
    assert len(lab.outputs()) == versions(lab) == 10
    assert left_running(run) == []


def killed_with_machines(run: Run) -> State[Any]:
    """What is left of a flow whose process was killed while it watched its machines."""
    steps.set_up(run)
    steps.start_fleet(run)
    beat = heartbeat.Beat(at=datetime.now(UTC), every=60, by="killed")
    record.put(run, heartbeat.NAME, beat.model_dump_json())
    return Completed(message="killed")
