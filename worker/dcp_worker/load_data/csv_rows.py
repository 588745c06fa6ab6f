"""The rows of a LoadData CSV as LoadData reads them, and the byte offset of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from dcp_worker.load_data.group_match import CsvError

if TYPE_CHECKING:
    from dcp_worker.common.cancellation import Check

_CHECKED_ROWS = 1000
_BOM = "\ufeff"


@contextmanager
def reading(
    csv_file: Path, check: Check
) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """Read a CSV: its columns by LoadData's names, then the offset and fields of each row.

    Blank lines and surplus fields are skipped. The offset, in bytes, is the argument of `row_at`.

    Args:
        csv_file: The CSV.
        check: Called every 1000 rows; raises when the job is interrupted.

    Raises:
        CsvError: The file is empty, is not a CSV, or has a row that is too short.
    """
    with csv_file.open(encoding="utf-8", newline="") as source:
        lines = _Lines(source)
        reader = csv.reader(lines)
        try:
            header = [_column(name) for name in next(reader)]
            yield header, _rows(reader, lines, len(header), check)
        except StopIteration:
            raise CsvError("csv_empty", "The LoadData CSV is empty.") from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise CsvError("csv_malformed", f"The LoadData CSV is not a CSV: {error}.") from error


def row_at(source: BinaryIO, offset: int, columns: int) -> list[str]:
    """The row at a byte offset of an open CSV."""
    source.seek(offset)
    text = io.TextIOWrapper(source, encoding="utf-8", newline="")
    row = next(csv.reader(text))
    text.detach()
    return row[:columns]


def write(path: Path, header: Sequence[str], rows: Iterable[list[str]]) -> None:
    """Write rows as a CSV."""
    with path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)  # with another line terminator it would not quote a CR
        writer.writerow(header)
        writer.writerows(rows)


class _Lines:
    """The lines of a file and the number of bytes read so far: a row may span several lines."""

    def __init__(self, source: TextIO) -> None:
        self._source = source
        self.offset = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._source)
        first = self.offset == 0
        self.offset += len(line.encode())
        return line[len(_BOM) :] if first and line.startswith(_BOM) else line


def _rows(
    reader: Iterator[list[str]], lines: _Lines, columns: int, check: Check
) -> Iterator[tuple[int, list[str]]]:
    offset = lines.offset
    for number, row in enumerate(reader, start=2):
        if number % _CHECKED_ROWS == 2:
            check()
        if row:
            if len(row) < columns:
                text = f"Row {number} of the LoadData CSV has {len(row)} fields"
                raise CsvError("csv_malformed", f"{text}, but the header has {columns}.")
            yield offset, row[:columns]
        offset = lines.offset


def _column(name: str) -> str:
    """LoadData reads Image_FileName_DNA as FileName_DNA."""
    # Prefixes in LoadData's header_to_column.
    for kind in ("PathName", "FileName", "URL", "ObjectsFileName", "ObjectsPathName", "ObjectsURL"):
        if name.startswith(f"Image_{kind}_"):
            return name[len("Image_") :]
    return name
