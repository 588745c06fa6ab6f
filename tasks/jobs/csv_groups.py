"""The groups of a LoadData CSV: every combination of values that is in the file.

The rows' values go through a small SQLite file, so that a CSV of a million rows takes no more
memory than one of ten.
"""

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache

from blocks.errors import InputError, Problem, Refusal
from blocks.job_file.job_set import FromCsv
from blocks.job_file.metadata import Pairs, check_value
from blocks.validation_errors import nearest
from tasks.jobs.csv_types import Column, Kind, Kinds, kind_of, reading
from tasks.jobs.load_data_csv import LoadData
from tasks.jobs.temp_database import scratch_database

_TOLD = 20
"""Values that can be in no group, told one by one."""

_COMPARED = 2000
"""Values of a column among which the nearest is looked for."""


def groups_of(csv: LoadData, chosen: FromCsv) -> Iterator[tuple[Pairs, int]]:
    """The groups, in the order of their first rows, each with its number of rows.

    The values are those that CellProfiler compares: in a column of integers, 002 is 2.

    Args:
        csv: The CSV.
        chosen: The columns of the groups, and which rows and groups to take.

    Raises:
        InputError: The CSV has not these columns, no rows, or values that can be in no group; or
            a filter leaves nothing.
    """
    columns = _columns(csv, chosen)
    with scratch_database("groups") as database:
        kinds = _fill(database, csv, columns)
        where = _filtered(database, csv, chosen, columns, kinds)
        yield from _grouped(database, csv, chosen, where)


def _columns(csv: LoadData, chosen: FromCsv) -> list[Column]:
    found, problems = [], []
    for name in chosen.columns:
        try:
            found.append(csv.column(name))
        except Refusal as refusal:
            problems.append(refusal.at(csv.key, "groups"))
    if problems:
        raise InputError(*problems)
    return found


def _fill(database: sqlite3.Connection, csv: LoadData, columns: Sequence[Column]) -> list[Kind]:
    """Read the columns of every row into the table `row`, as CellProfiler reads them."""
    names = [f"v{at}" for at in range(len(columns))]
    database.execute(
        f"CREATE TABLE row (line INTEGER PRIMARY KEY, {', '.join(f'{n} TEXT' for n in names)})"
    )
    kinds = Kinds(len(columns))

    def values() -> Iterator[list[object]]:
        for line, row in csv.rows():
            given = [column.value(row) for column in columns]
            kinds.see(given)
            yield [line, *given]

    marks = ", ?" * len(columns)
    database.execute("BEGIN")
    count = database.executemany(f"INSERT INTO row VALUES (?{marks})", values()).rowcount
    if count < 1:
        raise InputError(Problem(csv.key, "", "has a header and no rows"))
    found = [
        kind if column.numeric else str for column, kind in zip(columns, kinds.found(), strict=True)
    ]
    for name, kind in zip(names, found, strict=True):
        if kind is not str:
            read = lru_cache(maxsize=10_000)(lambda value, kind=kind: reading(value, kind))
            database.create_function("reading", 1, read, deterministic=True)
            database.execute(
                f"UPDATE row SET {name} = reading({name}) WHERE {name} != reading({name})"
            )
    database.execute("COMMIT")
    return found


def _filtered(
    database: sqlite3.Connection,
    csv: LoadData,
    chosen: FromCsv,
    columns: Sequence[Column],
    kinds: Sequence[Kind],
) -> str:
    """The condition for the rows that the filters leave; each filter's values are in a table."""
    places = {column.name: at for at, column in enumerate(columns)}
    conditions, problems = [], []
    filters = [(*entry, "include", "IN") for entry in chosen.include]
    filters += [(*entry, "exclude", "NOT IN") for entry in chosen.exclude]
    for number, (name, values, key, test) in enumerate(filters):
        at = places[name]
        database.execute(f"CREATE TABLE wanted{number} (value TEXT PRIMARY KEY)")
        read = [_as_read(value, kinds[at]) for value in values]
        database.executemany(
            f"INSERT OR IGNORE INTO wanted{number} VALUES (?)", [(value,) for value in read]
        )
        conditions.append(f"v{at} {test} (SELECT value FROM wanted{number})")
        problems += _matching_nothing(database, csv, name, at, values, read, key)
    if problems:
        raise InputError(*problems)
    where = " AND ".join(["1", *conditions])
    if conditions and not database.execute(f"SELECT 1 FROM row WHERE {where} LIMIT 1").fetchone():
        raise InputError(
            Problem(
                csv.key,
                "groups",
                "has no row that all filters leave, though each value is in the file",
                remedy="Loosen plates, wells, sites, include or exclude.",
            )
        )
    return where


def _as_read(value: str, kind: Kind) -> str:
    """A filter's value as CellProfiler reads it, where the column holds such values."""
    fits = kind_of(value) is int or kind_of(value) is kind
    return reading(value, kind) if fits else value


def _matching_nothing(
    database: sqlite3.Connection,
    csv: LoadData,
    name: str,
    at: int,
    values: Sequence[str],
    read: Sequence[str],
    key: str,
) -> list[Problem]:
    there = {
        value
        for (value,) in database.execute(
            f"SELECT DISTINCT v{at} FROM row WHERE v{at} IN (SELECT value FROM json_each(?))",
            [json.dumps(list(read))],
        )
    }
    missing = [given for given, value in zip(values, read, strict=True) if value not in there]
    if not missing:
        return []
    query = f"SELECT DISTINCT v{at} FROM row ORDER BY 1 LIMIT {_COMPARED}"
    known = [value for (value,) in database.execute(query)]
    if key == "exclude":
        # What is not there is left out already, unless it is there in another spelling.
        spelt = {_loosened(value) for value in known}
        missing = [given for given in missing if _loosened(given) in spelt]
    return [
        Problem(
            csv.key,
            f"groups: {key} {name}",
            f"no row has this value; {nearest(value, known)}",
            got=repr(value),
        )
        for value in missing[:_TOLD]
    ]


def _loosened(value: str) -> str:
    """A value without what people most often get wrong: case, spaces, zeros before a number."""
    return re.sub(r"0+(?=\d)", "", re.sub(r"\s", "", value).casefold())


def _grouped(
    database: sqlite3.Connection, csv: LoadData, chosen: FromCsv, where: str
) -> Iterator[tuple[Pairs, int]]:
    by = ", ".join(f"v{at}" for at in range(len(chosen.by)))
    limit = "" if chosen.first is None else f"LIMIT {int(chosen.first)}"
    found = database.execute(
        f"SELECT min(line) AS line, count(*), {by} FROM row WHERE {where} "
        f"GROUP BY {by} ORDER BY line {limit}"
    )
    problems: list[Problem] = []
    for line, count, *values in found:
        pairs = tuple(zip(chosen.by, values, strict=True))
        wrong = list(_wrong(csv, line, pairs))
        if not wrong:
            yield pairs, count
        problems += wrong
        if len(problems) >= _TOLD:
            break
    if problems:
        raise InputError(*problems)


def _wrong(csv: LoadData, line: int, pairs: Pairs) -> Iterator[Problem]:
    for key, value in pairs:
        try:
            check_value(key, value)
        except Refusal as refusal:
            yield refusal.at(csv.key, f"line {line}", repr(value))
