"""Which rows of a LoadData CSV belong to a group, found as CellProfiler finds them.

LoadData makes a column of whole numbers an integer column, and one of numbers a float column (a
well column excepted). The group's value is compared with the text of that number: 2 finds 002, and
002 finds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_INT32 = 2**31
_WELL_ROW = ("wellrow", "well_row", "row")
_WELL_COLUMN = ("wellcol", "well_col", "wellcolumn", "well_column", "column", "col")
_VALUES_SHOWN = 10
_VALUES_KEPT = 1000


class CsvError(Exception):
    """The CSV cannot serve the job; `code` is the diagnosis's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class GroupRows:
    """Collects the rows of a group from the rows of a CSV, which are shown to it one by one."""

    def __init__(self, header: Sequence[str], group: Sequence[tuple[str, str]]) -> None:
        self._group = group
        self._at = [_Value.of(header, key) for key, _ in group]
        self._kinds = [0 if value.numeric else 2 for value in self._at]
        self._candidates: list[tuple[list[str], list[str]]] = []
        self._seen: list[set[str]] = [set() for _ in group]
        self._any = False

    def see(self, row: Sequence[str]) -> None:
        """Look at one row of the CSV."""
        values = [value.read(row) for value in self._at]
        self._any = True
        for index, value in enumerate(values):
            if self._kinds[index] < 2:
                self._kinds[index] = max(self._kinds[index], _kind(value))
            if len(self._seen[index]) < _VALUES_KEPT:
                self._seen[index].add(value)
        if all(given in _readings(value) for value, (_, given) in zip(values, self._group)):
            self._candidates.append((list(row), values))

    def rows(self) -> list[list[str]]:
        """The rows of the group."""
        if not self._any:
            raise CsvError("csv_empty", "The LoadData CSV has a header and no rows.")
        given = [value for _, value in self._group]
        rows = [
            row
            for row, values in self._candidates
            if [_as_kind(value, kind) for value, kind in zip(values, self._kinds)] == given
        ]
        if not rows:
            raise CsvError("group_not_found", self._not_found())
        return rows

    def _not_found(self) -> str:
        parts = []
        for (key, given), seen, kind in zip(self._group, self._seen, self._kinds):
            read = sorted({_as_kind(value, kind) for value in seen})
            if given in read:
                continue
            known = ", ".join(read[:_VALUES_SHOWN]) + (", …" if len(read) > _VALUES_SHOWN else "")
            parts.append(f"{key} has the values {known}")
            if given in seen:
                parts.append(f"CellProfiler reads {given} as the number {_as_kind(given, kind)}")
        wanted = ",".join(f"{key}={value}" for key, value in self._group)
        why = "; ".join(parts) or "each value is there, but in no row together"
        return f"No row of the LoadData CSV has {wanted}: {why}."


@dataclass(frozen=True)
class _Value:
    """Where a row holds the value of a key; numeric: LoadData may read it as a number."""

    columns: tuple[int, ...]
    numeric: bool

    @classmethod
    def of(cls, header: Sequence[str], key: str) -> _Value:
        if key in header:
            # LoadData looks at the first word after Metadata_ only.
            first, _, rest = key.partition("_")
            well_column = first == "Metadata" and rest.partition("_")[0].lower() in _WELL_COLUMN
            return cls((header.index(key),), not well_column)
        names = [
            name[len("Metadata_") :].lower() if name.startswith("Metadata_") else ""
            for name in header
        ]
        row = [index for index, name in enumerate(names) if name in _WELL_ROW]
        column = [index for index, name in enumerate(names) if name in _WELL_COLUMN]
        if key == "Metadata_Well" and row and column:
            return cls((row[-1], column[-1]), True)  # LoadData joins the two itself
        known = ", ".join(name for name in header if name.startswith("Metadata_")) or "none"
        raise CsvError(
            "group_not_found",
            f"The LoadData CSV has no column {key}; its metadata columns are {known}.",
        )

    def read(self, row: Sequence[str]) -> str:
        return "".join(row[column] for column in self.columns)


def _kind(value: str) -> int:
    """0: a whole number of 32 bits, 1: a number, 2: text."""
    try:
        return 0 if -_INT32 <= int(value) < _INT32 else 2
    except ValueError:
        pass
    try:
        float(value)
    except ValueError:
        return 2
    return 1


def _as_kind(value: str, kind: int) -> str:
    """The text that CellProfiler compares, for a value in a column of this kind."""
    if kind == 2 or _kind(value) == 2:
        return value
    return str(int(value)) if kind == 0 else str(float(value))


def _readings(value: str) -> set[str]:
    """All texts that CellProfiler may compare, before the column's kind is known."""
    return {_as_kind(value, kind) for kind in range(_kind(value), 3)}
