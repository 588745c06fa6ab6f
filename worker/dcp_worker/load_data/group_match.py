"""The value that CellProfiler gives a group's column, and what to say of a group that is not there.

LoadData makes a column of whole numbers an integer column, and one of numbers a float column (a
well column excepted). The group's value is compared with the text of that number: 2 finds 002, and
002 finds nothing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# What a column of a CSV holds: each kind includes those before it.
INTEGER, FLOAT, TEXT = range(3)
_INT32 = 2**31
_WELL_ROW = ("wellrow", "well_row", "row")
_WELL_COLUMN = ("wellcol", "well_col", "wellcolumn", "well_column", "column", "col")
_VALUES_SHOWN = 10
_NEAREST_SHOWN = 3
# difflib compares with every value: seconds for more of them.
_VALUES_COMPARED = 2000


class CsvError(Exception):
    """The CSV cannot serve the job; `code` is the diagnosis's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Key:
    """A metadata column by which rows are grouped.

    Attributes:
        name: As on CellProfiler's command line: Metadata_Plate.
        columns: Where a row holds its value; more than one are joined.
        numeric: LoadData may read it as a number.
    """

    name: str
    columns: tuple[int, ...]
    numeric: bool

    @classmethod
    def of(cls, header: Sequence[str], name: str) -> Key:
        """Find a column.

        Raises:
            CsvError: There is none of that name (`group_not_found`).
        """
        if name in header:
            # LoadData looks at the first word after Metadata_ only.
            first, _, rest = name.partition("_")
            well_column = first == "Metadata" and rest.partition("_")[0].lower() in _WELL_COLUMN
            # Of columns with one name LoadData keeps the last.
            last = max(index for index, column in enumerate(header) if column == name)
            return cls(name, (last,), not well_column)
        tags = {_tag(column).lower(): index for index, column in enumerate(header) if _tag(column)}
        rows = [index for tag, index in tags.items() if tag in _WELL_ROW]
        columns = [index for tag, index in tags.items() if tag in _WELL_COLUMN]
        if name == "Metadata_Well" and rows and columns and "well" not in tags:
            # LoadData joins the two itself, to text.
            return cls(name, (max(rows), max(columns)), False)
        raise CsvError("group_not_found", _no_column(header, name))

    def read(self, row: Sequence[str]) -> str:
        """The value of a row, as it is written."""
        return "".join([row[column] for column in self.columns])


def _tag(column: str) -> str:
    return column[len("Metadata_") :] if column.startswith("Metadata_") else ""


def _no_column(header: Sequence[str], name: str) -> str:
    known = [column for column in header if column.startswith("Metadata_")]
    text = f"The LoadData CSV has no column {name}; its metadata columns are "
    text += f"{', '.join(known) or 'none'}."
    close = _nearest(name, known)
    return f"{text} The nearest is {close[0]}." if close else text


def kind_of(value: str) -> int:
    """The first kind of column that holds a value: LoadData's integers have 32 bits."""
    try:
        return INTEGER if -_INT32 <= int(value) < _INT32 else TEXT
    except ValueError:
        pass
    try:
        float(value)
    except ValueError:
        return TEXT
    return FLOAT


def reading(value: str, kind: int) -> str:
    """The text that CellProfiler compares, for a value in a column of this kind."""
    if kind == INTEGER:
        return str(int(value))
    return str(float(value)) if kind == FLOAT else value


def no_such_group(
    group: Mapping[str, str],
    values: Mapping[str, Sequence[str]],
    kinds: Mapping[str, int],
    together: Mapping[str, Sequence[str]],
) -> str:
    """Explain that no row has the values of a group.

    Args:
        group: Metadata column and value wanted.
        values: Column -> the values that it has, as CellProfiler reads them.
        kinds: Column -> its kind.
        together: Column -> the values that it has where all others are as wanted.
    """
    wrong = {key: given for key, given in group.items() if given not in values[key]}
    parts = [_about(key, given, values[key], kinds[key]) for key, given in wrong.items()]
    if not wrong:
        parts = ["each value is there, but in no row together"]
        for key, found in together.items():
            if found:
                rest = " ".join(f"{name}={value}" for name, value in group.items() if name != key)
                parts.append(f"where {rest}, {key} has the values {some(found)}")
    wanted = ",".join(f"{key}={value}" for key, value in group.items())
    return f"No row of the LoadData CSV has {wanted}: {'; '.join(parts)}."


def _about(key: str, given: str, values: Sequence[str], kind: int) -> str:
    parts = [f"{key} has the values {some(values)}"]
    close = _nearest(given, values)
    if kind_of(given) <= kind < TEXT and reading(given, kind) in values:
        number = reading(given, kind)
        parts.append(f"CellProfiler reads {given} as the number {number}: write {number}")
    elif close:
        parts.append(f"nearest to {given!r}: {', '.join(map(repr, close))}")
    return "; ".join(parts)


def some(values: Sequence[str]) -> str:
    """The first of the values that a group's column has, for a message."""
    more = ", …" if len(values) > _VALUES_SHOWN else ""
    return ", ".join(values[:_VALUES_SHOWN]) + more


def _nearest(given: str, values: Sequence[str]) -> list[str]:
    """Those that differ in case, space or zeros in front of a number alone; else the like ones."""
    loose = _loosened(given)
    same = [value for value in values if _loosened(value) == loose]
    return same[:_NEAREST_SHOWN] or difflib.get_close_matches(
        given, values[:_VALUES_COMPARED], _NEAREST_SHOWN
    )


def _loosened(value: str) -> str:
    return re.sub(r"0+(?=\d)", "", re.sub(r"\s", "", value).casefold())
