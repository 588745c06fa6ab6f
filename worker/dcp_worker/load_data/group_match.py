"""Matches a group's values as CellProfiler does, and explains why a group was not found.

LoadData turns a column of whole numbers into an integer column, and one of numbers into a float
column (except a well column). CellProfiler compares the group's value with the text of that number:
2 matches 002, but 002 matches nothing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Kinds of columns: each includes those before it.
INTEGER, FLOAT, TEXT = range(3)
_INT32 = 2**31
_WELL_ROW = ("wellrow", "well_row", "row")
_WELL_COLUMN = ("wellcol", "well_col", "wellcolumn", "well_column", "column", "col")
_VALUES_SHOWN = 10
_NEAREST_SHOWN = 3
# difflib compares every value: more would take seconds.
_VALUES_COMPARED = 2000


class CsvError(Exception):
    """The CSV is unusable for the job; `code` is the code of the diagnosis."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Key:
    """A metadata column that groups the rows.

    Attributes:
        name: Name on CellProfiler's command line, such as Metadata_Plate.
        columns: Positions of its value in a row; several values are joined.
        numeric: Whether LoadData may read it as a number.
    """

    name: str
    columns: tuple[int, ...]
    numeric: bool

    @classmethod
    def of(cls, header: Sequence[str], name: str) -> Key:
        """Find a column.

        Raises:
            CsvError: No column has that name (`group_not_found`).
        """
        if name in header:
            # LoadData uses only the first word after Metadata_.
            first, _, rest = name.partition("_")
            well_column = first == "Metadata" and rest.partition("_")[0].lower() in _WELL_COLUMN
            # If several columns have one name, LoadData keeps the last.
            last = max(index for index, column in enumerate(header) if column == name)
            return cls(name, (last,), not well_column)
        tags = {_tag(column).lower(): index for index, column in enumerate(header) if _tag(column)}
        rows = [index for tag, index in tags.items() if tag in _WELL_ROW]
        columns = [index for tag, index in tags.items() if tag in _WELL_COLUMN]
        if name == "Metadata_Well" and rows and columns and "well" not in tags:
            # LoadData itself joins the two as text.
            return cls(name, (max(rows), max(columns)), False)
        raise CsvError("group_not_found", _no_column(header, name))

    def read(self, row: Sequence[str]) -> str:
        """The value of a row, as written in the CSV."""
        return "".join([row[column] for column in self.columns])


def _tag(column: str) -> str:
    return column[len("Metadata_") :] if column.startswith("Metadata_") else ""


def _no_column(header: Sequence[str], name: str) -> str:
    columns = [column for column in header if column.startswith("Metadata_")]
    text = f"The LoadData CSV has no column {name}; its metadata columns are: "
    text += f"{', '.join(columns) or 'none'}."
    close = _nearest(name, columns)
    return f"{text} The nearest is {close[0]}." if close else text


def kind_of(value: str) -> int:
    """The narrowest kind of column for a value: LoadData's integers have 32 bits."""
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
    """The text that CellProfiler compares for a value in a column of this kind."""
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
        group: Metadata column -> the job's value.
        values: Column -> its values in the CSV, as CellProfiler reads them.
        kinds: Column -> its kind.
        together: Column -> its values in the rows that match all other columns.
    """
    wrong = {key: value for key, value in group.items() if value not in values[key]}
    parts = [_about(key, value, values[key], kinds[key]) for key, value in wrong.items()]
    if not wrong:
        parts = ["each value occurs, but no row has all of them"]
        for key, others in together.items():
            if others:
                rest = " ".join(f"{name}={value}" for name, value in group.items() if name != key)
                parts.append(f"where {rest}, {key} has the values {some(others)}")
    text = ",".join(f"{key}={value}" for key, value in group.items())
    return f"No row of the LoadData CSV has {text}: {'; '.join(parts)}."


def _about(key: str, value: str, values: Sequence[str], kind: int) -> str:
    parts = [f"{key} has the values {some(values)}"]
    close = _nearest(value, values)
    if kind_of(value) <= kind < TEXT and reading(value, kind) in values:
        number = reading(value, kind)
        parts.append(f"CellProfiler reads {value} as the number {number}, which the CSV has")
    elif close:
        parts.append(f"nearest to {value!r}: {', '.join(map(repr, close))}")
    return "; ".join(parts)


def some(values: Sequence[str]) -> str:
    """The first values of a column, for a message."""
    more = ", …" if len(values) > _VALUES_SHOWN else ""
    return ", ".join(values[:_VALUES_SHOWN]) + more


def _nearest(name: str, values: Sequence[str]) -> list[str]:
    """Values that differ only in case, spaces or leading zeros; otherwise similar ones."""
    normal = _normalized(name)
    same = [value for value in values if _normalized(value) == normal]
    return same[:_NEAREST_SHOWN] or difflib.get_close_matches(
        name, values[:_VALUES_COMPARED], _NEAREST_SHOWN
    )


def _normalized(value: str) -> str:
    return re.sub(r"0+(?=\d)", "", re.sub(r"\s", "", value).casefold())
