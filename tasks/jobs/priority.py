"""Which jobs come first: those that took longest in earlier runs.

A long job that begins last keeps one machine when all others are done. SQS keeps no strict order,
but about that in which messages were sent. Who has no earlier run pays one listing.
"""

import csv
import hashlib
import logging
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import orjson

from tasks.aws.errors import AwsError, is_missing
from tasks.jobs.past_durations import earlier_runs
from tasks.jobs.temp_database import scratch_database
from tasks.runs import record
from tasks.runs.run import Run

logger = logging.getLogger("prefect.dcp")

STEP = 1.25
"""Times are told apart in steps of this factor. Jobs of a step keep their order, so that those of a
plate stay together: a machine that works on one plate after the other has its CSV already."""

MOST_TABLES, MOST_ROWS = 5, 1_000_000  # that are read, of earlier runs
COLUMNS = (
    *("group", "pipeline", "status"),
    *("download_seconds", "cellprofiler_seconds", "upload_seconds"),
)


def longest_first(run: Run, plan: Path) -> Path:
    """The jobs of a plan in the order in which they are sent.

    Their times are those of the same group in earlier runs of the app, with the same pipeline or
    else another one; a job without counts as the mean. However many jobs there are, they lie on
    the disk.

    Args:
        run: The run.
        plan: Its jobs, a message a line.

    Returns:
        A file beside it; the plan itself where no job is known.
    """
    try:
        earlier = earlier_runs(run)
        if not earlier:
            return plan
        with scratch_database("order") as database:
            jobs = _take(database, plan)
            _learn(database, earlier)
            known = _reckon(database)
            if not known:
                return plan
            logger.info(
                "%d of %d jobs are known from earlier runs: the longest come first", known, jobs
            )
            return _sorted(database, plan)
    except AwsError as error:
        logger.warning("jobs are sent in their order: earlier runs cannot be read: %s", error)
        return plan


def _take(database: sqlite3.Connection, plan: Path) -> int:
    """Note where in the file each job stands; their number."""
    database.execute(
        "CREATE TABLE job (at INTEGER PRIMARY KEY, length INTEGER, grp INTEGER, pipeline INTEGER, "
        "seconds REAL)"
    )

    def rows() -> Iterator[tuple[int, int, int, int]]:
        at = 0
        with plan.open("rb") as lines:
            for line in lines:
                message = orjson.loads(line)
                yield at, len(line), _digest(message["Metadata"]), _digest(message["pipeline"])
                at += len(line)

    return _insert(
        database, "INSERT INTO job (at, length, grp, pipeline) VALUES (?, ?, ?, ?)", rows()
    )


def _insert(
    database: sqlite3.Connection, statement: str, rows: Iterable[tuple[object, ...]]
) -> int:
    database.execute("BEGIN")
    try:
        return database.executemany(statement, rows).rowcount
    finally:
        database.execute("COMMIT")


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _learn(database: sqlite3.Connection, earlier: Iterable[Run]) -> None:
    """Read what jobs took, the newest run first, until every job of the plan is known."""
    database.execute(
        "CREATE TABLE took (grp INTEGER, pipeline INTEGER, run INTEGER, seconds REAL, "
        "PRIMARY KEY (grp, pipeline)) WITHOUT ROWID"
    )
    tables = rows = 0
    for one in earlier:
        read = _read(database, one, tables, MOST_ROWS - rows)
        rows, tables = rows + read, tables + bool(read)
        if tables == MOST_TABLES or rows >= MOST_ROWS or (read and _all_known(database)):
            return


def _read(database: sqlite3.Connection, earlier: Run, number: int, most: int) -> int:
    """Take in what the jobs of an earlier run took; returns their number, at most so many."""
    count = 0

    def rows() -> Iterator[tuple[int, int, int, float]]:
        nonlocal count
        for group, pipeline, seconds in islice(_times(earlier), most):
            count += 1
            yield _digest(group), _digest(pipeline), number, seconds

    try:
        _insert(database, "INSERT OR IGNORE INTO took VALUES (?, ?, ?, ?)", rows())
    except (*AwsError, LookupError, ValueError, csv.Error) as error:
        # A run that was not ended properly has no table.
        if not is_missing(error):
            logger.warning("what jobs of run %s took cannot be read: %s", earlier.run_id, error)
    return count


def _times(earlier: Run) -> Iterator[tuple[str, str, float]]:
    """Group, pipeline and seconds of the jobs of an earlier run that succeeded."""
    table = csv.reader(f"{line}\n" for line in record.lines(earlier, record.TABLE))
    header = next(table, [])
    group, pipeline, status, *parts = (header.index(name) for name in COLUMNS)
    for row in table:
        seconds = sum(float(row[part]) for part in parts)
        if row[status] == "succeeded" and 0 < seconds < math.inf:
            yield row[group], row[pipeline], seconds


def _all_known(database: sqlite3.Connection) -> bool:
    found = database.execute(
        "SELECT 1 FROM job WHERE NOT EXISTS (SELECT 1 FROM took WHERE took.grp = job.grp AND "
        "took.pipeline = job.pipeline) LIMIT 1"
    )
    return found.fetchone() is None


def _reckon(database: sqlite3.Connection) -> int:
    """Give each job its time, where one is known; returns their number."""
    return database.execute(
        "UPDATE job SET seconds = coalesce("
        "(SELECT seconds FROM took WHERE took.grp = job.grp AND took.pipeline = job.pipeline), "
        "(SELECT seconds FROM took WHERE took.grp = job.grp ORDER BY run LIMIT 1)) "
        "WHERE EXISTS (SELECT 1 FROM took WHERE took.grp = job.grp)"
    ).rowcount


def _sorted(database: sqlite3.Connection, plan: Path) -> Path:
    (mean,) = database.execute("SELECT avg(seconds) FROM job").fetchone()
    database.create_function("step", 1, step, deterministic=True)
    found = database.execute(
        "SELECT at, length FROM job ORDER BY step(coalesce(seconds, ?)) DESC, at", [mean]
    )
    ordered = plan.with_name(f"ordered-{plan.name}")
    with plan.open("rb") as lines, ordered.open("wb") as out:
        for at, length in found:
            out.write(os.pread(lines.fileno(), length, at))
    return ordered


def step(seconds: float) -> int:
    """Which jobs are of about the same length: those of the same step."""
    return round(math.log(seconds, STEP))
