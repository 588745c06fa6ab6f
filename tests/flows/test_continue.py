"""`dcp-continue`: a run that was stopped with jobs left over comes to its end, each job once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lab import CSV, Lab

import flows.full_run
from blocks.errors import DcpError, InputError
from flows.continue_run import continue_run
from flows.full_run import dcp
from flows.monitor import monitor
from tasks import record
from tasks.cleanup import left_running
from tasks.queues import count, find_queue
from tasks.results import account
from tasks.run import Run

pytestmark = pytest.mark.e2e

SECONDS = 30  # that a job is said to take: nothing new is begun three times so long before the end


@pytest.fixture
def stopped(make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A run of ten jobs of 8 s that max_hours stopped while the first two were at work."""
    lab = make_lab(max_hours=1, seconds_per_job=SECONDS)
    lab.aws.s3.put_bucket_versioning(
        Bucket=lab.settings.aws_bucket, VersioningConfiguration={"Status": "Enabled"}
    )

    def nearly_over(run_id: str, **given: Any) -> Any:
        began = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=3 * SECONDS + 5)
        record.update(lab.run(), started_at=began)
        return monitor(run_id=run_id, **given)

    wells = [f"A{column:02}" for column in range(1, 11)]
    lab.plate("slow", *wells)
    groups = [{"Metadata": f"Metadata_Plate=slow,Metadata_Well={well}"} for well in wells]
    job = lab.job_file(data_file=CSV, groups=groups)
    with monkeypatch.context() as patched:
        patched.setattr(flows.full_run, "monitor", nearly_over)
        state = dcp(lab.config, job, return_state=True)
    with pytest.raises(DcpError, match="dcp continue"):
        state.result()
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
    assert left == 8, "what was at work came to its end"
    assert count(lab.aws.sqs, queue).total == left
    assert kept(run).state == "active"

    wrong = continue_run(lab.config, settings={"source_bucket": "other-bucket"}, return_state=True)
    assert "source_bucket" in str(wrong.result(raise_on_failure=False))
    assert kept(run).continued_at is None, "nothing was begun"

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
