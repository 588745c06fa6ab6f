"""The report of a run: drawn up, and written to S3.

`report.json` with the counts and the jobs that did not succeed comes first; then `report.csv` with
a row a job, and what follows from it: figures and pictures. What comes later cannot undo what was
written before.
"""

import csv
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, astuple, fields, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pydantic import ValidationError

from tasks.aws.concurrency import in_order
from tasks.aws.errors import AwsError
from tasks.cost.machine_cost import cost_of
from tasks.cost.machine_hours import record_final_machines
from tasks.jobs.results import Account, account
from tasks.report.job_table import (
    COLUMNS,
    PARALLEL,
    JobRow,
    job_rows,
    lost_result,
    planned,
    read_result,
)
from tasks.report.model import Report
from tasks.report.plate_images import Picture, draw
from tasks.report.statistics import Figures
from tasks.runs import record
from tasks.runs.run import Run

logger = logging.getLogger("prefect.dcp")

MOST_PROBLEMS = 10_000  # in report.json; report.csv has all


def read_report(run: Run) -> Report | None:
    """The report in the run's record, whichever version of dcp wrote it; None if it has none."""
    text = record.read(run, record.REPORT)
    if text is None:
        return None
    known = {one.name for one in fields(Report)}
    return Report(**{name: value for name, value in json.loads(text).items() if name in known})


def make_report(run: Run, found: Account, note: str = "") -> Report:
    """Draw up the report of a run from its account; reads the records of failed jobs."""
    failures = sorted(_failed(run, found), key=lambda one: (one["reason"], one["Metadata"]))
    room = MOST_PROBLEMS - len(failures)
    lost = list(islice(_lost(run, found, note), room)) if found.open and room else []
    reasons = Counter(failure["reason"] for failure in failures)
    if found.open:
        reasons[lost_result(note)["reason"]] += len(found.open)
    return Report(
        app_name=run.names.app,
        run_id=run.run_id,
        submitted=len(found.submitted),
        succeeded=len(found.succeeded),
        skipped=len(found.skipped),
        failed=len(found.failed),
        lost=len(found.open),
        note=note,
        reasons=dict(reasons.most_common()),
        problems=failures + lost,
        problems_left_out=len(found.failed) + len(found.open) - len(failures) - len(lost),
    )


def _failed(run: Run, found: Account) -> Iterator[dict[str, Any]]:
    """The records of failed jobs, the first so many; one deleted meanwhile is as good as empty."""

    def read(job_id: str) -> dict[str, Any]:
        nothing = {"job_id": job_id, "reason": "", "reason_text": "", "Metadata": ""}
        return nothing | read_result(run, "failed", job_id)

    return in_order(read, islice(found.failed, MOST_PROBLEMS), PARALLEL, "results")


def _lost(run: Run, found: Account, note: str) -> Iterator[dict[str, Any]]:
    for message in planned(run):
        if message.job_id in found.open:
            yield {
                "job_id": message.job_id,
                "Metadata": message.metadata,
                "status": "lost",
            } | lost_result(note)


def draw_up(run: Run, note: str = "") -> tuple[Report, list[Picture]]:
    """Draw up the report and its pictures, and write them into the run's record."""
    kept = record.load(run)
    found = account(run, None if kept is not None and kept.jobs is not None else ())
    report = make_report(run, found, note)
    _put(run, report)
    if not found.submitted:
        return report, []
    figures = write_table(run, found, note)
    report = replace(
        report,
        reasons=dict(figures.reasons.most_common()),
        seconds=figures.seconds(),
        slowest=[_short(row) for row in figures.slowest],
        hours=_hours(kept),
        image=run.config.dockerhub_tag,
        image_digest=kept.image_digest if kept else "",
        cost=_cost(run),
        table=f"s3://{run.config.aws_bucket}/{run.key(record.TABLE)}",
    )
    _put(run, report)
    return report, draw(run, figures.plates)


def _put(run: Run, report: Report) -> None:
    record.put(run, record.REPORT, json.dumps(report.as_json(), indent=1))


def write_table(run: Run, found: Account, note: str) -> Figures:
    """Write `report.csv` into the run's record, row by row by way of a file on this computer.

    Returns:
        The figures of its rows.
    """
    figures = Figures()
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8", newline="", suffix=".csv") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in job_rows(run, found, note):
            writer.writerow(astuple(row))
            figures.add(row)
        file.flush()
        run.aws.s3.upload_file(
            file.name,
            run.config.aws_bucket,
            run.key(record.TABLE),
            ExtraArgs={"ContentType": "text/csv; charset=utf-8"},
        )
    return figures


def _short(row: JobRow) -> dict[str, Any]:
    return {
        "job_id": row.job_id,
        "Metadata": row.group,
        "seconds": round(row.seconds, 3),
        "peak_memory_mb": row.peak_memory_mb,
        "instance_id": row.instance_id,
        "log": row.log,
    }


def _hours(kept: record.RunRecord | None) -> float:
    if kept is None:
        return 0.0
    until = kept.ended_at or datetime.now(UTC)
    return round((until - kept.started_at).total_seconds() / 3600, 4)


def _cost(run: Run) -> dict[str, Any] | None:
    try:
        cost = cost_of(run, list(record_final_machines(run, datetime.now(UTC)).values()))
    except (*AwsError, ValidationError) as error:
        logger.warning("What the run has cost is not known: %s", error)
        return {"usd": None, "text": f"cost not known: {error}"}
    return None if cost is None else asdict(cost) | {"text": cost.text}
