"""Index of a LoadData CSV: read once, then looked up by group in milliseconds.

The index is a small SQLite file: the number of every group, and for every image set the byte offset
of its row in the CSV. It numbers image sets as CellProfiler does: groups sorted by their values,
the rows of a group in the order of the CSV.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker.load_data import csv_rows
from dcp_worker.load_data.group_match import TEXT, CsvError, Key, no_such_group, reading
from dcp_worker.load_data.type_samples import TypeSamples

if TYPE_CHECKING:
    from dcp_worker.common.cancellation import Check
    from dcp_worker.load_data.local_paths import PathMapping

# Increase this when the tables of the index change.
_FORMAT = 2
_POLL_SECONDS = 0.05
_CHECKED_STEPS = 100_000


@dataclass(frozen=True)
class ImageSets:
    """The image sets of one group of a CSV.

    Attributes:
        header: The CSV's columns, by LoadData's names for them.
        rows: The group's rows, unchanged.
        first: ImageNumber of the first row; the others follow it.
        group_number: Number of the group.
        type_rows: A few rows of the whole CSV that give LoadData the same type and width for every
            column as all its rows.
    """

    header: Sequence[str]
    rows: Sequence[list[str]]
    first: int
    group_number: int
    type_rows: Sequence[list[str]]


@dataclass(frozen=True)
class _About:
    """Facts about a CSV besides its groups; `kinds` are the kinds of the keys."""

    header: Sequence[str]
    kinds: Sequence[int]
    type_rows: Sequence[int]


def find(
    csv_file: Path,
    etag: str,
    folder: Path,
    keys: Sequence[str],
    group: Mapping[str, str],
    paths: PathMapping,
    check: Check,
) -> ImageSets:
    """Find the image sets of a group.

    Args:
        csv_file: The CSV.
        etag: Identifies its content.
        folder: Folder of the indexes, shared by all slots of the machine.
        keys: Metadata columns by which the pipeline groups, in its order.
        group: A value for each of them.
        paths: Maps the paths of images to S3 objects and local files.
        check: Raises when the job is interrupted.

    Raises:
        CsvError: The CSV is malformed or has no row of the group.
        OSError: The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    identity = [_FORMAT, etag, csv_file.stat().st_size, list(keys), paths.rules]
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
    index = folder / f"{name}.sqlite"
    with contextlib.suppress(sqlite3.DatabaseError):  # missing or damaged
        return _look_up(index, csv_file, keys, group)
    with _locked(folder / f"{name}.lock", check):
        with contextlib.suppress(sqlite3.DatabaseError):  # another slot may have built it
            return _look_up(index, csv_file, keys, group)
        _build(index, csv_file, keys, paths, check)
        return _look_up(index, csv_file, keys, group)


@contextlib.contextmanager
def _locked(path: Path, check: Check) -> Iterator[None]:
    """Hold a lock shared by all slots; the kernel releases it if the slot is killed."""
    with path.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                check()
                time.sleep(_POLL_SECONDS)
        yield


def _look_up(
    index: Path, csv_file: Path, keys: Sequence[str], group: Mapping[str, str]
) -> ImageSets:
    address = f"{index.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        ((text,),) = database.execute("SELECT about FROM csv")
        about = _About(**json.loads(text))
        record = database.execute(
            f"SELECT number, first, length FROM image_group WHERE {_equal(_columns(keys))}",
            [group[key] for key in keys],
        ).fetchone()
        if record is None:
            raise CsvError("group_not_found", _explain(database, about.kinds, keys, group))
        number, first, length = record
        rows = database.execute(
            "SELECT byte_offset FROM image_set WHERE number BETWEEN ? AND ? ORDER BY number",
            (first, first + length - 1),
        )
        columns = len(about.header)
        with csv_file.open("rb") as source:
            return ImageSets(
                header=about.header,
                rows=[csv_rows.row_at(source, offset, columns) for (offset,) in rows],
                first=first,
                group_number=number,
                type_rows=[csv_rows.row_at(source, offset, columns) for offset in about.type_rows],
            )


def _columns(keys: Sequence[str]) -> list[str]:
    return [f"key{at}" for at in range(len(keys))]


def _equal(columns: Sequence[str]) -> str:
    return " AND ".join(["1", *(f"{column} = ?" for column in columns)])


def _explain(
    database: sqlite3.Connection,
    kinds: Sequence[int],
    keys: Sequence[str],
    group: Mapping[str, str],
) -> str:
    columns = dict(zip(keys, _columns(keys)))

    def distinct(key: str, others: Sequence[str]) -> list[str]:
        where = _equal([columns[other] for other in others])
        query = f"SELECT DISTINCT {columns[key]} FROM image_group WHERE {where} ORDER BY 1"
        return [value for (value,) in database.execute(query, [group[other] for other in others])]

    return no_such_group(
        group,
        values={key: distinct(key, []) for key in keys},
        kinds=dict(zip(keys, kinds)),
        together={key: distinct(key, [other for other in keys if other != key]) for key in keys},
    )


def _build(
    index: Path, csv_file: Path, keys: Sequence[str], paths: PathMapping, check: Check
) -> None:
    building = index.with_suffix(".building")
    building.unlink(missing_ok=True)  # left by a slot that was killed
    try:
        with contextlib.closing(sqlite3.connect(building)) as database:
            _fill(database, csv_file, keys, paths, check)
        os.replace(building, index)
    except sqlite3.OperationalError as error:
        check()  # an interruption aborts the query with this error
        code = errno.ENOSPC if "full" in str(error) else errno.EIO
        raise OSError(code, str(error), str(building)) from error
    finally:
        building.unlink(missing_ok=True)


def _fill(
    database: sqlite3.Connection,
    csv_file: Path,
    keys: Sequence[str],
    paths: PathMapping,
    check: Check,
) -> None:
    # The file gets its final name only when complete, so it need not survive a crash.
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.set_progress_handler(check, _CHECKED_STEPS)
    database.create_function("reading", 2, reading, deterministic=True)
    columns = _columns(keys)
    texts = "".join(f", {column} TEXT" for column in columns)
    database.execute("CREATE TABLE csv (about TEXT)")
    database.execute("CREATE TABLE image_set (number INTEGER PRIMARY KEY, byte_offset INTEGER)")
    database.execute(
        f"CREATE TABLE image_group (number INTEGER, first INTEGER, length INTEGER{texts})"
    )
    database.execute(
        f"CREATE TEMP TABLE read (row INTEGER PRIMARY KEY, byte_offset INTEGER{texts})"
    )
    about = _read(database, csv_file, keys, paths, check)
    for column, kind in zip(columns, about.kinds):
        if kind < TEXT:
            database.execute(f"UPDATE read SET {column} = reading({column}, {kind})")
    # SQLite compares text by its UTF-8 bytes: the same order as Python.
    by = ", ".join(columns)
    database.execute(
        f"""INSERT INTO image_set SELECT row_number() OVER ordered, byte_offset
        FROM read WINDOW ordered AS (ORDER BY {by}, row)"""
    )
    database.execute(
        f"""INSERT INTO image_group SELECT
            row_number() OVER ordered, 1 + sum(count(*)) OVER ordered - count(*), count(*), {by}
        FROM read GROUP BY {by} WINDOW ordered AS (ORDER BY {by} ROWS UNBOUNDED PRECEDING)"""
    )
    database.execute(f"CREATE UNIQUE INDEX by_key ON image_group ({by})")
    database.execute("INSERT INTO csv VALUES (?)", [json.dumps(asdict(about))])
    database.commit()


def _read(
    database: sqlite3.Connection,
    csv_file: Path,
    keys: Sequence[str],
    paths: PathMapping,
    check: Check,
) -> _About:
    """Read the byte offset and keys of every row into the table `read`."""
    with csv_rows.reading(csv_file, check) as (header, records):
        columns = [Key.of(header, name) for name in keys]
        samples = TypeSamples(header, paths)

        def values() -> Iterator[list[object]]:
            for offset, row in records:
                samples.add(row, offset)
                yield [offset, *[key.read(row) for key in columns]]

        marks = ", ?" * (len(keys) + 1)
        read = database.executemany(f"INSERT INTO temp.read VALUES (NULL{marks})", values())
    if read.rowcount < 1:
        raise CsvError("csv_empty", "The LoadData CSV has a header but no rows.")
    kinds = [samples.kinds[key.columns[0]] if key.numeric else TEXT for key in columns]
    return _About(header, kinds, samples.offsets())
