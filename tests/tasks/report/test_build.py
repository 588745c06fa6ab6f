"""The report of a run: every job in the table, every figure from its records, a map a plate."""

import csv
import json
import re
import subprocess
import sys
from array import array
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO
from statistics import mean
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from paid_machines import steps
from PIL import Image
from recorded_run import PIPELINE, end, ends, fails, job, plan

from tasks.report.build import draw_up, read_report
from tasks.report.job_table import COLUMNS, JobRow, job_row
from tasks.report.markdown import markdown
from tasks.report.plate_images import file_name
from tasks.report.statistics import Figures, summary
from tasks.runs import record
from tasks.runs.run import Run

PAID = steps((0, 0.1))
WELLS = [f"{row}{column:02}" for row in "ABP" for column in (1, 12, 24)]


def timed(cellprofiler: float) -> dict[str, float]:
    return {"wait": 100.0, "download": 1.0, "cellprofiler": cellprofiler, "upload": 1.0}


def table_of(run: Run) -> list[dict[str, str]]:
    text = record.read(run, "report.csv")
    assert text is not None
    return list(csv.DictReader(StringIO(text, newline="")))


def json_of(run: Run) -> dict[str, Any]:
    text = record.read(run, "report.json")
    assert text is not None
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.fixture
def ended(run: Run) -> Run:
    """Nine wells of a 384-well plate: one failed, one lost, one skipped, six succeeded."""
    jobs = plan(run, (job(run, f"Metadata_Plate=P1,Metadata_Well={well}") for well in WELLS))
    fails(run, jobs[0], "image_missing", 'no "x.tif",\nin the bucket', attempt=2, log_stream="")
    ends(run, jobs[2], "skipped", reason="already_done")
    for number, message in enumerate(jobs[3:]):
        ends(run, message, "succeeded", seconds=timed(10.0 * (number + 1)))
    end(run)
    record.update(run, started_at=datetime.now(UTC) - timedelta(hours=2))
    return run


def test_the_table_has_a_row_a_job_in_the_order_of_the_jobs(ended: Run) -> None:
    draw_up(ended)
    rows = table_of(ended)
    assert tuple(rows[0]) == COLUMNS
    assert [row["well"] for row in rows] == WELLS
    assert [row["status"] for row in rows] == ["failed", "lost", "skipped"] + ["succeeded"] * 6
    first, last = rows[0], rows[-1]
    assert first["reason_text"] == 'no "x.tif",\nin the bucket'
    assert first["attempt"] == "2"
    assert first["log"].endswith("/log-events/P1-A01"), (
        "a killed worker's log is found all the same"
    )
    assert rows[1]["reason"] == "no_result"
    assert rows[1]["output"] == "out/P1-A12/"
    assert last["plate"] == "P1"
    assert last["group"] == "Metadata_Plate=P1,Metadata_Well=P24"
    assert float(last["wait_seconds"]) == 100
    assert float(last["cellprofiler_seconds"]) == 60
    assert float(last["peak_memory_mb"]) == 512.5
    assert (last["files"], last["bytes"]) == ("5", "1000")
    assert last["instance_id"] == "i-0123456789abcdef0"


def test_the_report_has_counts_reasons_seconds_and_the_slowest(ended: Run) -> None:
    report, _ = draw_up(ended)
    assert json_of(ended) == json.loads(json.dumps(report.as_json()))
    assert report.summary == "9 jobs: 6 succeeded, 1 skipped, 1 failed, 1 lost"
    assert report.reasons == {"image_missing": 1, "no_result": 1}
    assert {one["status"] for one in report.problems} == {"failed", "lost"}
    assert report.seconds[PIPELINE] == {
        "jobs": 6,
        "mean": 37.0,
        "p10": 12.0,
        "p50": 32.0,
        "p90": 62.0,
    }
    assert [job["seconds"] for job in report.slowest] == [62.0, 52.0, 42.0, 32.0, 22.0, 12.0]
    assert report.slowest[0]["Metadata"].endswith("P24")
    assert report.cost is None, "it never had a machine"
    assert 2 <= report.hours < 2.1
    assert read_report(ended) == report


def test_a_report_of_an_earlier_version_is_read_without_what_is_gone(ended: Run) -> None:
    assert read_report(ended) is None
    report, _ = draw_up(ended)
    under_dcp = {"machine_hours": 3.0, "hours": 1.0, "jobs_lost": 0, "usd": None}
    record.put(ended, "report.json", json.dumps(report.as_json() | {"under_dcp": under_dcp}))
    assert read_report(ended) == report


PLATES = ("a b", "Q", "..a$b$", r"$\frac$", "板" * 100, "W" * 200, "")


def test_there_are_two_maps_of_each_plate_in_the_record(make_run: Callable[..., Run]) -> None:
    run = make_run()
    named = (f"Metadata_Plate={plate}," if plate else "" for plate in PLATES)
    plan(run, (job(run, f"{plate}Metadata_Well=P24") for plate in named))
    end(run)
    _, pictures = draw_up(run)
    assert [(one.plate, one.kind) for one in pictures] == [
        (plate, kind) for plate in sorted(PLATES) for kind in ("status", "seconds")
    ]
    for one in pictures:
        key = one.address.removeprefix(f"s3://{run.config.aws_bucket}/")
        assert key == run.key(f"plates/{file_name(one.plate, one.kind)}")
        kept = run.aws.s3.get_object(Bucket=run.config.aws_bucket, Key=key)["Body"].read()
        assert Image.open(BytesIO(kept)).format == "PNG"


def test_groups_of_whole_plates_have_no_map(run: Run) -> None:
    plan(run, [job(run, "Metadata_Plate=P1"), job(run, "Metadata_Plate=P2")])
    end(run)
    report, pictures = draw_up(run)
    assert report.lost == 2
    assert pictures == []


def test_a_picture_that_fails_loses_no_report(ended: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("tasks.report.plate_map.status_map", broken)
    report, pictures = draw_up(ended)
    assert {one.kind for one in pictures} == {"seconds"}
    assert json_of(ended)["failed"] == report.failed == 1
    assert len(table_of(ended)) == len(WELLS)


def test_a_table_that_fails_loses_no_account(ended: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.report.build.write_table", broken)
    with pytest.raises(KeyboardInterrupt):
        draw_up(ended)
    found = json_of(ended)
    assert (found["failed"], found["lost"]) == (1, 1)
    assert len(found["problems"]) == 2


def test_the_page_shows_pictures_remedies_and_links(ended: Run) -> None:
    report, pictures = draw_up(ended)
    page = markdown(report, "s3://b/report.json", pictures)
    assert page.count("](data:image/png;base64,") == 2
    assert "Upload the image" in page
    assert "it had no machine" in page
    assert "](https://us-east-1.console.aws.amazon.com/" in page
    assert 'no "x.tif", in the bucket' in page
    assert f"s3://{ended.config.aws_bucket}/{ended.key('report.csv')}" in page


def test_what_jobs_say_is_quoted_on_the_page(run: Run) -> None:
    (message, other) = plan(run, [job(run, "Metadata_Plate=P1"), job(run, "Metadata_Well=a_b")])
    text = "<class 'KeyError'> a\\|b\n| c [x](http://y) `*z*` __init__ " + "long " * 200
    fails(run, message, "module_failed", text)
    ends(run, other, "succeeded")
    end(run)
    report, _ = draw_up(run)
    page = markdown(replace(report, note="<b>\n# ended | early"), "s3://b/report.json")
    (row,) = (line for line in page.splitlines() if "KeyError" in line)
    assert row.startswith(
        "| module_failed | Plate=P1 | &lt;class 'KeyError'&gt; a\\\\\\|b \\| c \\[x\\](http://y) "
        "\\`\\*z\\*\\` \\_\\_init\\_\\_ long"
    )
    assert len(row) < 700
    assert "&lt;b&gt; # ended \\| early" in page.splitlines()
    assert "Well=a_b" in page
    assert "With `always_continue`, CellProfiler" in page, "remedies are Markdown"


def test_a_cost_that_aws_does_not_tell_is_said_to_be_unknown(
    ended: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://ec2")

    monkeypatch.setattr("tasks.report.build.cost_of", refused)
    report, _ = draw_up(ended)
    assert report.cost is not None
    assert report.cost["usd"] is None
    page = markdown(report, "")
    assert "cost not known: Could not connect" in page
    assert "no machine" not in page


def test_a_damaged_note_of_machines_loses_no_report(ended: Run) -> None:
    record.put(ended, "machines.json", "cut off")
    report, _ = draw_up(ended)
    assert report.cost is not None
    assert report.cost["usd"] is None
    assert json_of(ended)["succeeded"] == 6


NAMES = st.text(max_size=300) | st.sampled_from(["", " ", "..", "a/b", "a_b", "P1", "板" * 200])


@given(st.sets(NAMES))
def test_each_plate_has_a_file_of_its_own_that_any_system_takes(plates: set[str]) -> None:
    names = {file_name(plate, kind) for plate in plates for kind in ("status", "seconds")}
    assert len(names) == 2 * len(plates)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9 ._+-]{1,130}\.png", name)


def test_only_who_draws_a_map_needs_what_draws_it() -> None:
    look = "import sys, flows.full_run; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_many_problems_are_bounded_on_the_page_and_in_json(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.report.build.MOST_PROBLEMS", 4)
    jobs = plan(run, (job(run, f"Metadata_Plate=P1,Metadata_Well=A{n}") for n in range(1, 10)))
    for message in jobs[:3]:
        fails(run, message, "image_missing")
    report, _ = draw_up(run)
    assert len(report.problems) == 4
    assert report.problems_left_out == 5
    assert len(table_of(run)) == 9
    assert "and 5 more" in markdown(report, "")


def test_a_run_that_ended_before_its_jobs_were_planned_is_reported(run: Run) -> None:
    end(run, "the config is wrong")
    report, pictures = draw_up(run, "the config is wrong")
    assert (report.submitted, report.note, pictures) == (0, "the config is wrong", [])
    assert "the config is wrong" in markdown(report, "s3://b/report.json")


def row_of(run: Run, metadata: str, status: str, seconds: float = 0.0) -> JobRow:
    return job_row(run, status, {"seconds": timed(seconds)}, job(run, metadata))


def test_a_well_has_the_worst_status_of_its_sites_and_their_seconds(run: Run) -> None:
    figures = Figures()
    for site, status in enumerate(("succeeded", "failed", "succeeded", "skipped"), 1):
        metadata = f"Metadata_Plate=P,Metadata_Well=B03,Metadata_Site={site}"
        figures.add(row_of(run, metadata, status, 10.0 * site))
    well = figures.plates["P"][1, 2]
    assert (well.status, well.jobs, well.succeeded) == ("failed", 4, 2)
    assert well.seconds == 12 + 32


@given(st.lists(st.floats(0, 1e5, width=32), min_size=1, max_size=300))
def test_percentiles_are_values_that_occurred_in_order(taken: list[float]) -> None:
    found = summary(array("f", taken))
    assert found["jobs"] == len(taken)
    assert found["p10"] <= found["p50"] <= found["p90"]
    assert {found["p10"], found["p50"], found["p90"]} <= {round(value, 3) for value in taken}
    assert found["mean"] == pytest.approx(mean(taken), abs=1e-3)
    below = sum(round(value, 3) <= found["p90"] for value in taken)
    assert below >= 0.9 * len(taken)
