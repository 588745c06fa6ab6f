"""The wells of a plate by its layout, and the groups of a layout. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import overload

from blocks.errors import Refusal
from blocks.job_file.metadata import Pairs

FORMATS = {96: (8, 12), 384: (16, 24), 1536: (32, 48)}
"""Rows and columns of each plate format."""

MOST = 10_000
"""Maximum number of values in a range; a longer one is a mistake."""

_RANGE = re.compile(r"(\d+|[A-Za-z]{1,2})\s*-\s*(\d+|[A-Za-z]{1,2})")


def row_name(number: int) -> str:
    """The letters of a row, counted from 0: A to Z, then AA, AB and so on."""
    name = ""
    while number >= 0:
        name = chr(ord("A") + number % 26) + name
        number = number // 26 - 1
    return name


def row_number(name: str) -> int:
    """The number of a row, counted from 0."""
    number = 0
    for letter in name.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def expanded(text: str) -> list[str]:
    """The values of a text such as `1-9`, `A-P` or `1-3,7`.

    Leading zeros are kept: `01-12` is 01, 02, … 12.

    Raises:
        Refusal: A range runs backwards, or from a number to a letter.
    """
    return [value for part in text.split(",") for value in _part(part.strip())]


def _part(part: str) -> Iterable[str]:
    bounds = _RANGE.fullmatch(part)
    if not bounds:
        return [part]
    start, end = bounds.groups()
    if start.isdigit() != end.isdigit():
        raise Refusal("is a range from a number to a letter", got=repr(part), allowed="1-9 or A-P")
    low, high = (int(start), int(end)) if start.isdigit() else (row_number(start), row_number(end))
    if high < low:
        raise Refusal("is a range that runs backwards", got=repr(part), remedy="Swap its ends.")
    if high - low >= MOST:
        raise Refusal(f"is a range of {high - low + 1} values", allowed=f"at most {MOST}")
    if not start.isdigit():
        return [row_name(number) for number in range(low, high + 1)]
    width = len(start) if start.startswith("0") else 1
    return [f"{number:0{width}}" for number in range(low, high + 1)]


def wells_of(rows: Iterable[str], columns: Iterable[str], pad: bool) -> list[str]:
    """The names of the wells in these rows and columns, row by row.

    Args:
        rows: Letters.
        columns: Numbers.
        pad: Write the column with at least two digits, A01 instead of A1.
    """
    numbers = [f"{int(column):02}" if pad else str(int(column)) for column in columns]
    return [f"{row}{number}" for row, number in product(rows, numbers)]


def rows_and_columns(size: int) -> tuple[list[str], list[str]]:
    """The letters of the rows and the numbers of the columns of a plate with `size` wells."""
    rows, columns = FORMATS[size]
    return [row_name(n) for n in range(rows)], [str(n) for n in range(1, columns + 1)]


@dataclass(frozen=True)
class Layout(Sequence[Pairs]):
    """The groups of a layout, each computed on access.

    Attributes:
        axes: Each metadata key with its values; the last changes fastest.
        first: Maximum number of groups; None for all.
    """

    axes: tuple[tuple[str, tuple[str, ...]], ...]
    first: int | None = None

    def __len__(self) -> int:
        length = 1
        for _, values in self.axes:
            length *= len(values)
        return length if self.first is None else min(length, self.first)

    @overload
    def __getitem__(self, at: int) -> Pairs: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Pairs]: ...
    def __getitem__(self, at: int | slice) -> Pairs | Sequence[Pairs]:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        number = range(len(self))[at]
        pairs = []
        for key, values in reversed(self.axes):
            number, place = divmod(number, len(values))
            pairs.append((key, values[place]))
        return tuple(reversed(pairs))
