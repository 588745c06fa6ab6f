"""Compares the jobs' groups with the groups of the LoadData CSV. Pure but for the index on disk."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from blocks.errors import Problem
from blocks.job_file.metadata import Pairs, metadata_text
from tasks.jobs.csv_types import Kind, kind_of, reading
from tasks.preflight.data.csv_index import CsvIndex
from tasks.preflight.finding import Finding

NAMED = 5
"""Number of jobs that findings name; the others are counted."""

_COMPARED = 2000
_SHOWN = 5


def findings(
    index: CsvIndex, where: str, data_file: str, kinds: Mapping[str, Kind], made_from_csv: bool
) -> Iterator[Finding]:
    """Jobs without rows, and groups without a job.

    Args:
        index: The jobs and groups of a CSV.
        where: The job file's name.
        data_file: The CSV's key.
        kinds: How CellProfiler reads each metadata column: int, float or str.
        made_from_csv: Whether the groups come from the CSV: then groups lack a job on purpose.
    """
    count, first = index.jobs_without_rows(NAMED)
    for number, group in enumerate(first, start=1):
        more = count - NAMED if number == NAMED else 0
        yield _without_rows(index, group, where, data_file, kinds, more)
    without_job, examples = index.groups_without_job(1)
    if without_job and not made_from_csv and not count:
        yield Finding(
            "note",
            "groups_without_job",
            Problem(
                data_file,
                metadata_text(examples[0]),
                f"the group has no job (groups without a job: {without_job} of {index.groups()})",
                remedy="To process them, add them to the groups of the job file.",
            ),
        )


def _without_rows(
    index: CsvIndex,
    group: Pairs,
    where: str,
    data_file: str,
    kinds: Mapping[str, Kind],
    more: int,
) -> Finding:
    values = dict(group)
    missing = {key: v for key, v in values.items() if v not in _values(index, key, {key: v})}
    what = f"no row of {data_file} has this group"
    if more:
        what += f", nor the groups of {more} more job{'s' if more > 1 else ''}"
    remedies = [
        remedy(key, value, index.values(key, {}, _COMPARED), kinds.get(key, str))
        for key, value in missing.items()
    ] or [_together(index, values)]
    return Finding(
        "error",
        "group_not_found",
        Problem(where, f"groups: {metadata_text(group)}", what, remedy=" ".join(remedies)),
    )


def _values(index: CsvIndex, key: str, where: Mapping[str, str]) -> list[str]:
    return index.values(key, where, 1)


def _together(index: CsvIndex, values: Mapping[str, str]) -> str:
    for key in reversed(list(values)):
        others = {other: value for other, value in values.items() if other != key}
        if present := index.values(key, others, _SHOWN + 1):
            rest = " ".join(f"{other}={value}" for other, value in others.items())
            return f"Where {rest}, {key} has the values {_some(present)}."
    return "Each value occurs in the CSV, but no row has all of them."


def remedy(key: str, value: str, values: Sequence[str], kind: Kind) -> str:
    """What to write instead of a value that does not occur in a column."""
    if kind_of(value) in (int, kind) and (number := reading(value, kind)) in values:
        return f"{key}: CellProfiler reads {value} as the number {number}: write {number}."
    if near := nearest(value, values):
        return f"{key}: {value!r} does not occur; the nearest is {' or '.join(map(repr, near))}."
    return f"{key}: {value!r} does not occur; its values are {_some(values)}."


def nearest(value: str, values: Sequence[str]) -> list[str]:
    """Values that differ only in case, spaces or leading zeros; else similar ones."""
    loose = _loosened(value)
    same = [other for other in values if _loosened(other) == loose]
    return same[:3] or difflib.get_close_matches(value, values, 3)


def _loosened(value: str) -> str:
    return re.sub(r"0+(?=\d)", "", re.sub(r"\s", "", value).casefold())


def _some(values: Sequence[str]) -> str:
    return ", ".join(values[:_SHOWN]) + (", …" if len(values) > _SHOWN else "")
