"""The longest jobs are sent first, as far as earlier runs tell."""

import csv
import io
import json
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_run import PIPELINE, job

from blocks.errors import InputError
from tasks.jobs.messages import JobMessage
from tasks.jobs.priority import STEP, step
from tasks.jobs.submission import write_plan
from tasks.report.job_table import COLUMNS
from tasks.runs import record
from tasks.runs.record import TABLE
from tasks.runs.run import Run

OLDER, OLD = "20260101-120000-aaaaaa", "20260201-120000-bbbbbb"

MakeRun = Callable[..., Run]


def well(number: int) -> str:
    return f"Metadata_Plate=P1,Metadata_Well=A{number:02}"


def jobs_of(run: Run, *numbers: int) -> list[JobMessage]:
    return [job(run, well(number)) for number in numbers]


def earlier(
    run: Run,
    run_id: str,
    seconds: dict[int, float],
    pipeline: str = PIPELINE,
    status: str = "succeeded",
) -> None:
    """Let an earlier run of the same app have taken so long, by well."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, restval="0")
    table.writeheader()
    for number, took in seconds.items():
        table.writerow(
            {
                "group": well(number),
                "pipeline": pipeline,
                "status": status,
                "reason_text": 'two\nlines, and "more"',
                "download_seconds": 0.25 * took,
                "cellprofiler_seconds": 0.5 * took,
                "upload_seconds": 0.25 * took,
            }
        )
    record.put(Run(run.config, run_id, run.aws), TABLE, text.getvalue(), "text/csv")


def planned(run: Run, jobs: Iterable[JobMessage]) -> list[str]:
    """The wells in the order in which they are sent."""
    write_plan(run, jobs)
    return [json.loads(line)["Metadata"][-2:] for line in record.job_lines(run)]


def test_the_longest_come_first_and_those_alike_keep_their_order(make_run: MakeRun) -> None:
    run = make_run()
    earlier(run, OLD, {1: 100, 2: 860, 3: 101, 4: 400, 5: 890})
    assert planned(run, jobs_of(run, 1, 2, 3, 4, 5)) == ["02", "05", "04", "01", "03"]


def test_without_earlier_times_nothing_changes(make_run: MakeRun) -> None:
    run = make_run()
    assert planned(run, jobs_of(run, 3, 1, 2)) == ["03", "01", "02"]


def test_a_job_without_a_time_counts_as_the_mean(make_run: MakeRun) -> None:
    run = make_run()
    earlier(run, OLD, {1: 100, 2: 900})
    assert planned(run, jobs_of(run, 1, 7, 2, 8)) == ["02", "07", "08", "01"]


def test_the_same_pipeline_counts_before_another_and_the_newest_run_before_older(
    make_run: MakeRun,
) -> None:
    run = make_run()
    earlier(run, OLD, {1: 900, 2: 100, 3: 200}, pipeline="p/other.cppipe")
    earlier(run, OLDER, {1: 100, 2: 900})
    # The third is known by another pipeline alone.
    assert planned(run, jobs_of(run, 1, 2, 3)) == ["02", "03", "01"]
    other = make_run(run_id="20260302-120000-cccccc", app="Newest")
    earlier(other, OLDER, {1: 100, 2: 900})
    earlier(other, OLD, {1: 900, 2: 100})
    assert planned(other, jobs_of(other, 2, 1)) == ["01", "02"]


def test_what_failed_tells_nothing(make_run: MakeRun) -> None:
    run = make_run()
    earlier(run, OLD, {1: 100, 2: 900}, status="failed")
    assert planned(run, jobs_of(run, 1, 2)) == ["01", "02"]


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "no,table,of,ours\n1,2,3,4\n",
        ",".join(COLUMNS) + "\nP1,A01\n",
        ",".join(COLUMNS) + "\n" + ",".join(["much"] * len(COLUMNS)) + "\n",
        ",".join(COLUMNS) + '\n"' + "x" * 200_000 + "\n",
    ],
)
def test_an_odd_table_is_no_error_and_hides_no_other(make_run: MakeRun, odd: str) -> None:
    run = make_run()
    record.put(Run(run.config, OLD, run.aws), TABLE, odd)
    record.put(Run(run.config, "20260202-120000-dddddd", run.aws), "run.json", "{}")
    earlier(run, OLDER, {1: 100, 2: 900})
    assert planned(run, jobs_of(run, 1, 2)) == ["02", "01"]


def test_earlier_runs_that_may_not_be_read_are_no_error(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run()
    earlier(run, OLD, {1: 100, 2: 900})

    def refused(*_: Any, **__: Any) -> None:
        run.aws.s3.get_object(Bucket="another-ones-bucket", Key="k")

    monkeypatch.setattr("tasks.jobs.priority.earlier_runs", refused)
    assert planned(run, jobs_of(run, 1, 2)) == ["01", "02"]
    assert "earlier runs cannot be read" in caplog.text


def test_the_same_jobs_are_the_same_plan_whatever_is_known_by_then(make_run: MakeRun) -> None:
    run = make_run()
    earlier(run, OLD, {1: 100, 2: 900})
    first = planned(run, jobs_of(run, 1, 2, 3))
    earlier(run, "20260203-120000-eeeeee", {1: 900, 2: 100, 3: 5000})
    assert planned(run, jobs_of(run, 1, 2, 3)) == first
    with pytest.raises(InputError, match="other jobs"):
        write_plan(run, jobs_of(run, 1, 2))


def test_every_job_of_a_plan_is_there_once(make_run: MakeRun) -> None:
    run = make_run()
    numbers = list(range(300))
    random.Random(1).shuffle(numbers)
    earlier(run, OLD, {number: 10.0 + number for number in numbers[:250]})
    jobs = jobs_of(run, *numbers)
    write_plan(run, jobs)
    sent = list(record.job_lines(run))
    assert sorted(sent) == sorted(message.body for message in jobs)
    assert sent != [message.body for message in jobs]


@given(st.floats(0.001, 1e6), st.floats(1, 1e3))
def test_who_takes_much_longer_is_of_a_later_step(seconds: float, factor: float) -> None:
    assert step(seconds * factor) >= step(seconds)
    if factor > STEP * 1.001:
        assert step(seconds * factor) > step(seconds)
