"""Whether the next step of a profile may start, by what the run of the one before left."""

import json

import pytest
from recorded_run import end

from flows.profile import _stop
from tasks.runs import record
from tasks.runs.run import Run


@pytest.mark.parametrize(
    ("failed", "lost", "share", "part"),
    [(0, 0, 0, ""), (1, 0, 0, "failed"), (1, 0, 0.25, ""), (0, 1, 0.9, "without a result")],
)
def test_an_ended_run_is_judged_by_its_jobs(
    run: Run, failed: int, lost: int, share: float, part: str
) -> None:
    report = {"submitted": 4, "failed": failed, "lost": lost}
    record.put(run, "report.json", json.dumps(report))
    end(run)
    stop = _stop(run, None, share)
    assert part in stop
    assert bool(stop) == bool(part)


def test_no_step_follows_an_incomplete_clean_up(run: Run) -> None:
    record.put(run, "report.json", json.dumps({"submitted": 4, "failed": 0, "lost": 0}))
    assert "not ended" in _stop(run, None, 0.5)


def test_a_run_that_did_not_start_is_reported(run: Run) -> None:
    assert "did not start" in _stop(run, run.run_id, 0.5)
