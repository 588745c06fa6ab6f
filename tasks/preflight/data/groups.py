"""The groups of the jobs against those of the LoadData CSV. Pure but for the index on disk."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from blocks.errors import Problem
from blocks.job_file.metadata import Pairs, metadata_text
from tasks.jobs.csv_types import Kind, kind_of, reading
from tasks.preflight.data.csv_index import Index
from tasks.preflight.finding import Finding

NAMED = 5
"""Jobs that are named each; the others are counted."""

_COMPARED = 2000
_SHOWN = 5


def findings(
    index: Index, where: str, data_file: str, kinds: Mapping[str, Kind], made_from_csv: bool
) -> Iterator[Finding]:
    """Jobs without rows, and groups without a job.

    Args:
        index: Jobs and groups of a CSV.
        where: The job file's name.
        data_file: The CSV's key.
        kinds: How CellProfiler reads each metadata column: int, float or str.
        made_from_csv: The groups were made from the CSV: what has no job was left out on purpose.
    """
    count, first = index.jobs_without_rows(NAMED)
    for number, group in enumerate(first, start=1):
        more = count - NAMED if number == NAMED else 0
        yield _without_rows(index, group, where, data_file, kinds, more)
    left_out, some = index.groups_without_job(1)
    if left_out and not made_from_csv and not count:
        yield Finding(
            "note",
            "groups_without_job",
            Problem(
                data_file,
                metadata_text(some[0]),
                f"{left_out} of the {index.groups()} groups of the CSV have no job; the first",
                remedy="Add them to the groups of the job file if they are meant.",
            ),
        )


def _without_rows(
    index: Index,
    group: Pairs,
    where: str,
    data_file: str,
    kinds: Mapping[str, Kind],
    more: int,
) -> Finding:
    values = dict(group)
    wrong = {key: v for key, v in values.items() if v not in _values(index, key, {key: v})}
    what = f"no row of {data_file} has this group"
    if more:
        what += f", nor those of {more} more jobs"
    remedies = [
        remedy(key, value, index.values(key, {}, _COMPARED), kinds.get(key, str))
        for key, value in wrong.items()
    ] or [_together(index, values)]
    return Finding(
        "error",
        "group_not_found",
        Problem(where, f"groups: {metadata_text(group)}", what, remedy=" ".join(remedies)),
    )


def _values(index: Index, key: str, where: Mapping[str, str]) -> list[str]:
    return index.values(key, where, 1)


def _together(index: Index, values: Mapping[str, str]) -> str:
    for key in reversed(list(values)):
        others = {other: value for other, value in values.items() if other != key}
        if found := index.values(key, others, _SHOWN + 1):
            rest = " ".join(f"{other}={value}" for other, value in others.items())
            return f"Where {rest}, {key} has the values {_some(found)}."
    return "Each value is there, but in no row together."


def remedy(key: str, given: str, values: Sequence[str], kind: Kind) -> str:
    """What to write in place of a value that a column does not have."""
    if kind_of(given) in (int, kind) and (number := reading(given, kind)) in values:
        return f"{key}: CellProfiler reads {given} as the number {number}: write {number}."
    if near := nearest(given, values):
        return f"{key}: {given!r} is not there; the nearest is {' or '.join(map(repr, near))}."
    return f"{key}: {given!r} is not there; its values are {_some(values)}."


def nearest(given: str, values: Sequence[str]) -> list[str]:
    """Those that differ in case, space or zeros in front of a number alone; else the like ones."""
    loose = _loosened(given)
    same = [value for value in values if _loosened(value) == loose]
    return same[:3] or difflib.get_close_matches(given, values, 3)


def _loosened(value: str) -> str:
    return re.sub(r"0+(?=\d)", "", re.sub(r"\s", "", value).casefold())


def _some(values: Sequence[str]) -> str:
    return ", ".join(values[:_SHOWN]) + (", …" if len(values) > _SHOWN else "")
