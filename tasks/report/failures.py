"""The jobs of a run that did not succeed, each with its reason, wherever that is to be found."""

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import astuple, dataclass, field
from typing import Any

from tasks.aws.concurrency import in_order
from tasks.aws.errors import AwsError
from tasks.jobs.results import Account, account, dead_letters, given_up
from tasks.jobs.wells import position
from tasks.report.job_table import (
    COLUMNS,
    PARALLEL,
    JobRow,
    job_row,
    lost_result,
    planned,
    read_result,
)
from tasks.report.remedies import remedy
from tasks.runs import record
from tasks.runs.run import Run

logger = logging.getLogger("prefect.dcp")


@dataclass(frozen=True)
class Reason:
    """The failed and lost jobs of one reason.

    Attributes:
        code: The reason's code.
        jobs: Their rows, in order of plate, well and site.
    """

    code: str
    jobs: tuple[JobRow, ...]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return remedy(self.code)


@dataclass(frozen=True)
class Failures:
    """What went wrong in a run, as far as it has come.

    Attributes:
        app_name: The app.
        run_id: The run.
        reasons: The reasons, the most frequent first.
        submitted: Number of all jobs.
        open: How many have no result yet, in a run that goes on.
    """

    app_name: str
    run_id: str
    reasons: tuple[Reason, ...] = field(default=())
    submitted: int = 0
    open: int = 0

    @property
    def jobs(self) -> tuple[JobRow, ...]:
        """All failed and lost jobs, by reason."""
        return tuple(row for reason in self.reasons for row in reason.jobs)

    @property
    def summary(self) -> str:
        """How many they are, in a line."""
        counts = Counter(row.status for row in self.jobs)
        text = f"{counts['failed']} failed and {counts['lost']} lost of {self.submitted} jobs"
        if self.open:
            text += f"; {self.open} have no result yet, the run goes on"
        return text

    def csv(self) -> str:
        """The failed and lost jobs as CSV, with the columns of `report.csv`."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in self.jobs)
        return text.getvalue()


def find_failures(run: Run) -> Failures:
    """Every job of the run that failed, was dead-lettered or is lost; reads, and changes nothing.

    A job without a result is lost once the run has ended. Before that, it is queued or running,
    unless its message lies in the dead-letter queue.
    """
    kept = record.load(run)
    if kept is None or kept.jobs is None:
        return Failures(run.names.app, run.run_id)
    found = account(run)
    rows = [*_recorded(run, found), *_refused(run)]
    dead = dict(_dead(run, found))
    rows += dead.values()
    if kept.state == "ended":
        rows += _lost(run, found, frozenset(dead), kept.note)
    unknown = len(found.open) - len(dead) if kept.state != "ended" else 0
    return Failures(run.names.app, run.run_id, by_reason(rows), len(found.submitted), unknown)


def by_reason(rows: Iterable[JobRow]) -> tuple[Reason, ...]:
    """Jobs grouped by their reason, the most frequent first (pure)."""
    groups: dict[str, list[JobRow]] = {}
    for row in rows:
        groups.setdefault(row.reason, []).append(row)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return tuple(Reason(code, tuple(sorted(jobs, key=_order))) for code, jobs in ordered)


def _order(row: JobRow) -> tuple[Any, ...]:
    """By plate, then by row and column of the well, then by site: 2 before 10."""
    at = position(row.well)
    site = int(row.site) if row.site.isdecimal() else 0
    return row.plate, at is None, at or (0, 0), row.well, site, row.site, row.group


def _recorded(run: Run, found: Account) -> Iterator[JobRow]:
    def row(job_id: str) -> JobRow:
        return job_row(run, "failed", read_result(run, "failed", job_id))

    return in_order(row, found.failed, PARALLEL, "results")


def _refused(run: Run) -> Iterator[JobRow]:
    """Messages that were no job: whatever wrote them into the queue, a worker gave them up."""
    prefix = run.key(f"{record.results('failed')}message-")
    pages = run.aws.s3.get_paginator("list_objects_v2").paginate(
        Bucket=run.config.aws_bucket, Prefix=prefix
    )
    for page in pages:
        for item in page.get("Contents", []):
            name = item["Key"].rpartition("/")[2].removesuffix(".json")
            yield job_row(run, "failed", read_result(run, "failed", name))


def _dead(run: Run, found: Account) -> Iterator[tuple[str, JobRow]]:
    """The jobs without a result that SQS itself moved to the dead-letter queue, with their ids."""
    try:
        with closing(dead_letters(run, found.open)) as dead:
            for message, letter in dead:
                said = given_up(run, message, letter) | {"started_at": "", "ended_at": ""}
                yield message.job_id, job_row(run, "failed", said, message)
    except AwsError as error:
        # What the record says is worth more than nothing, to who may read no queue.
        logger.warning("The dead-letter queue could not be looked into: %s", error)


def _lost(run: Run, found: Account, dead: frozenset[str], note: str) -> Iterator[JobRow]:
    lost = len(found.open) - len(dead)
    if not lost:
        return
    for message in planned(run):
        if message.job_id in found.open and message.job_id not in dead:
            yield job_row(run, "lost", lost_result(note), message)
