"""Plates, wells and sites, read off the metadata of a group. Pure."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from blocks.job_file.plate_layout import FORMATS, row_name, row_number

Position = tuple[int, int]
"""Row and column of a well, both counted from 0."""

# The names under which the field's tools write them, without Metadata_, in lower case: pycytominer
# and Cell Painting (Plate, Well, Site), CellProfiler's examples (WellRow, WellColumn), Opera
# Phenix exports by way of pe2loaddata (Row, Col, FieldID), older Broad files (Barcode).
_PLATE = ("plate", "platename", "plateid", "barcode", "platebarcode", "assayplatebarcode")
_WELL = ("well", "wellname", "wellid")
_ROW, _COLUMN = ("wellrow", "row"), ("wellcolumn", "wellcol", "column", "col")
_SITE = ("site", "field", "fieldid", "fieldindex", "fov", "position")


@dataclass(frozen=True)
class Place:
    """Where the images of a group were taken; what the metadata does not say is "".

    Attributes:
        plate: Name of the plate.
        well: The well as the metadata has it, or made of its row and column.
        site: The site within the well.
    """

    plate: str = ""
    well: str = ""
    site: str = ""


def place_of(metadata: str) -> Place:
    """The place of a group `K=V,K=V`; a text that is none has no place."""
    fields = dict(_fields(metadata))
    row, column = _first(fields, _ROW), _first(fields, _COLUMN)
    well = _first(fields, _WELL) or (_named(row, column) if row and column else "")
    return Place(_first(fields, _PLATE), well, _first(fields, _SITE))


def _fields(metadata: str) -> Iterator[tuple[str, str]]:
    for part in metadata.split(","):
        key, equals, value = part.partition("=")
        if equals:
            name = key.strip().lower().removeprefix("metadata_")
            yield re.sub(r"[^a-z0-9]", "", name), value


def _first(fields: dict[str, str], names: tuple[str, ...]) -> str:
    return next((fields[name] for name in names if name in fields), "")


def _named(row: str, column: str) -> str:
    """A well of its row, a letter or a number from 1, and its column."""
    letters = row_name(int(row) - 1) if row.isdecimal() and int(row) else row
    return letters + (f"{int(column):02}" if column.isdecimal() else column)


def position(well: str) -> Position | None:
    """Row and column of a well such as `A01`, `AF48`, `A-1` or `r01c01`; None for anything else."""
    if found := re.fullmatch(r"([A-Za-z]{1,2})[ _-]?0*([1-9]\d?)", well):
        return _within(row_number(found[1]), int(found[2]) - 1)
    if found := re.fullmatch(r"[Rr]0*([1-9]\d?)[Cc]0*([1-9]\d?)", well):
        return _within(int(found[1]) - 1, int(found[2]) - 1)
    return None


def _within(row: int, column: int) -> Position | None:
    rows, columns = FORMATS[1536]
    return (row, column) if row < rows and column < columns else None


def plate_format(wells: Iterable[Position]) -> int:
    """The smallest plate of 96, 384 or 1536 wells that has all these wells."""
    rows, columns = (max(numbers, default=0) for numbers in zip(*wells, strict=True))
    return min(size for size, (high, wide) in FORMATS.items() if rows < high and columns < wide)
