"""How LoadData reads metadata columns: what is a number, which column has a name. Pure.

The worker holds the same rules in code of its own; tests/support/csv_groups.json holds the examples
that both are tested against.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from blocks.errors import Refusal
from blocks.validation_errors import nearest

Kind = type[int] | type[float] | type[str]
_KINDS: tuple[Kind, ...] = (int, float, str)  # each holds what those before it hold

_INT32 = 2**31
_METADATA = "Metadata_"
_WELL_ROW = ("wellrow", "well_row", "row")
_WELL_COLUMN = ("wellcol", "well_col", "wellcolumn", "well_column", "column", "col")


def kind_of(value: str) -> Kind:
    """The narrowest kind of column that can hold a value; LoadData's integers have 32 bits."""
    try:
        return int if -_INT32 <= int(value) < _INT32 else str
    except ValueError:
        pass
    try:
        float(value)
    except ValueError:
        return str
    return float


def reading(value: str, kind: Kind) -> str:
    """The text that CellProfiler compares: 002 in a column of integers is 2."""
    return value if kind is str else str(kind(value))


class Kinds:
    """Finds the kinds of columns while every row of a CSV is shown to it."""

    def __init__(self, columns: int) -> None:
        self._widest = [0] * columns
        self._open = list(range(columns))

    def see(self, values: Sequence[str]) -> None:
        """Look at the values of one row."""
        for at in self._open:
            kind = _KINDS.index(kind_of(values[at]))
            if kind > self._widest[at]:
                self._widest[at] = kind
                self._open = [column for column in self._open if self._widest[column] < 2]

    def found(self) -> list[Kind]:
        """The kind of every column, by all rows seen."""
        return [_KINDS[widest] for widest in self._widest]


@dataclass(frozen=True)
class Column:
    """A metadata column by which rows are grouped or chosen.

    Attributes:
        name: As on CellProfiler's command line: Metadata_Plate.
        places: Where a row holds its value; more than one are joined.
        numeric: LoadData may read it as a number.
    """

    name: str
    places: tuple[int, ...]
    numeric: bool

    @classmethod
    def of(cls, columns: Sequence[str], name: str) -> "Column":
        """The column of this name.

        LoadData keeps the last of columns with one name, reads a column of a well's column
        (Metadata_Col) as text, and joins a well's row and column to Metadata_Well where that is
        not there itself.

        Raises:
            Refusal: There is none.
        """
        if name in columns:
            first, _, rest = name.partition("_")
            of_well = first == "Metadata" and rest.partition("_")[0].lower() in _WELL_COLUMN
            last = max(place for place, column in enumerate(columns) if column == name)
            return cls(name, (last,), not of_well)
        tags = {
            column.removeprefix(_METADATA).lower(): place
            for place, column in enumerate(columns)
            if column.startswith(_METADATA)
        }
        rows = [place for tag, place in tags.items() if tag in _WELL_ROW]
        numbers = [place for tag, place in tags.items() if tag in _WELL_COLUMN]
        if name == "Metadata_Well" and rows and numbers and "well" not in tags:
            return cls(name, (max(rows), max(numbers)), False)
        known = [column for column in columns if column.startswith(_METADATA)]
        hint = nearest(name, known)
        raise Refusal(
            "is no column of the CSV",
            got=repr(name),
            allowed=", ".join(known) or "it has no metadata columns",
            remedy=f"{hint[0].upper()}{hint[1:]}." if known else "",
        )

    def value(self, row: Sequence[str]) -> str:
        """The value of a row, as it is written."""
        if len(self.places) == 1:
            return row[self.places[0]]
        return "".join([row[place] for place in self.places])
