"""The LoadData CSV as a file: its columns, and rows that are too long or too short. Pure.

LoadData takes rows in which nothing but surplus cells is wrong and cuts these off, so that a comma
too many within a row moves all that follows into other columns without a word.
"""

import csv
import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from blocks.errors import Problem, Refusal
from blocks.job_file.s3_keys import MOUNT
from tasks.jobs.csv_types import Column
from tasks.preflight.finding import Finding

SHOWN = 5
"""Lines or names that a finding shows."""


def of_header(
    columns: Sequence[str], row: Sequence[str], where: str, keys: Sequence[str]
) -> Iterator[Finding]:
    """What is wrong with the columns.

    Args:
        columns: As LoadData names them.
        row: The second line: an image may be named by its whole path.
        where: The key of the CSV.
        keys: The metadata keys of the jobs.
    """
    if len(columns) == 1 and (sign := next((s for s in ";\t|" if s in columns[0]), None)):
        # All else would be told of cells that are none.
        yield _error(
            "csv_unreadable",
            Problem(
                where,
                "line 1",
                "the cells are not separated by commas",
                got=f"by {sign!r}",
                remedy="Save it with commas.",
            ),
        )
        return
    yield from _unnamed(columns, where)
    for name, times in Counter(columns).items():
        if times > 1 and name.strip():
            yield _error(
                "csv_duplicate_column",
                Problem(where, name, f"the column comes {times} times", remedy="Keep one."),
            )
    for name in columns:
        if name != name.strip() and name.strip():
            yield _error(
                "csv_column_space",
                Problem(
                    where,
                    name.strip(),
                    "the column's name has a space at an end",
                    got=repr(name),
                    remedy="CellProfiler takes it for another column: remove the space.",
                ),
            )
    yield from _image_columns(columns, dict(zip(columns, row, strict=False)), where)
    for key in keys:
        try:
            Column.of(columns, key)
        except Refusal as refusal:
            yield _error("csv_metadata_missing", replace(refusal.at(where, key), got=""))


def _unnamed(columns: Sequence[str], where: str) -> Iterator[Finding]:
    places = [at for at, name in enumerate(columns, start=1) if not name.strip()]
    if not places:
        return
    index = places == [1] and len(columns) > 1
    yield _error(
        "csv_unnamed_column",
        Problem(
            where,
            f"column {places[0]}",
            "a column has no name: CellProfiler stops with 'no name'",
            got=f"{len(places)} without a name",
            remedy="It looks like a pandas index: write the CSV with to_csv(..., index=False)."
            if index
            else "Find ',,' or a comma at the end of the first line, and remove it.",
        ),
    )


def _image_columns(columns: Sequence[str], row: Mapping[str, str], where: str) -> Iterator[Finding]:
    there = set(columns)
    if not any(name.startswith(("FileName_", "URL_")) for name in columns):
        yield _error(
            "csv_no_images",
            Problem(where, "", "no column names images", allowed="FileName_… and PathName_…"),
        )
    for prefix in ("", "Objects"):
        for name in columns:
            if name.startswith(f"{prefix}PathName_"):
                channel = name[len(f"{prefix}PathName_") :]
                if not there & {f"{prefix}FileName_{channel}", f"{prefix}URL_{channel}"}:
                    yield _pair(where, f"{prefix}FileName_{channel}", name, columns)
            elif name.startswith(f"{prefix}FileName_"):
                channel = name[len(f"{prefix}FileName_") :]
                whole = row.get(name, "").startswith(("/", "s3://"))
                pair = {f"{prefix}PathName_{channel}", f"{prefix}URL_{channel}"}
                if not whole and not there & pair:
                    yield _pair(where, f"{prefix}PathName_{channel}", name, columns)


def _pair(where: str, missing: str, there: str, columns: Sequence[str]) -> Finding:
    near = difflib.get_close_matches(missing, [name for name in columns if name != there], 1, 0.9)
    return _error(
        "csv_pair_missing",
        Problem(
            where,
            missing,
            f"the column is missing beside {there}",
            remedy=f"Is it {near[0]}?" if near else "Add it: folder and name of each image.",
        ),
    )


@dataclass
class Rows:
    """What is wrong with the rows of a CSV, gathered while they are read.

    Attributes:
        where: The key of the CSV.
        columns: How many cells a row should have.
        count: Rows seen.
    """

    where: str
    columns: int
    count: int = 0
    _lines: dict[str, list[int]] = field(default_factory=dict)
    _times: Counter[str] = field(default_factory=Counter)
    _first: dict[str, str] = field(default_factory=dict)

    def see(self, line: int, cells: Sequence[str]) -> bool:
        """Look at a row; whether LoadData takes it as it is meant."""
        self.count += 1
        if len(cells) == self.columns:
            return True
        surplus = cells[self.columns :]
        if len(cells) < self.columns:
            code = "csv_short_row"
        else:
            code = "csv_long_row" if any(cell.strip() for cell in surplus) else "csv_end_comma"
        self.note(code, line, f"{len(cells)} cells")
        return code == "csv_end_comma"

    def note(self, code: str, line: int, got: str) -> None:
        """Keep a mistake of a line."""
        self._times[code] += 1
        self._first.setdefault(code, got)
        lines = self._lines.setdefault(code, [])
        if len(lines) < SHOWN:
            lines.append(line)

    def findings(self) -> Iterator[Finding]:
        """What was found, each kind once, with the first lines."""
        if not self.count:
            yield _error(
                "csv_no_rows",
                Problem(
                    self.where,
                    "",
                    "the CSV has a header and no rows",
                    remedy="Look at what made it.",
                ),
            )
        for code, lines in self._lines.items():
            what, remedy = _ROW_MISTAKES[code]
            more = self._times[code] - len(lines)
            place = f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
            allowed = f"{self.columns} cells, as in the header" if code in _OF_LENGTH else ""
            yield Finding(
                "warning" if code == "csv_end_comma" else "error",
                code,
                Problem(
                    self.where,
                    place + (f" and {more} more" if more else ""),
                    what,
                    self._first[code],
                    allowed,
                    remedy,
                ),
            )


_OF_LENGTH = ("csv_short_row", "csv_long_row", "csv_end_comma")
_ROW_MISTAKES = {
    "csv_short_row": (
        "the row is too short, and CellProfiler stops at it",
        "Add what is missing, or remove the row.",
    ),
    "csv_long_row": (
        "the row is too long: its values stand in wrong columns",
        "Find ',,' in it and remove the comma.",
    ),
    "csv_end_comma": ("a comma too many at the end", "Remove it."),
    "csv_image_empty": (
        "the row has no image where its columns should name one",
        "Find ',,' in it; write the image's name, or remove the row.",
    ),
    "csv_path": (
        "the image is named by a path that no machine of the run has",
        f"Begin it with {MOUNT}/, which stands for the top of the bucket of the images.",
    ),
}


@dataclass
class Unreadable(Exception):
    """The file cannot be read as a CSV at all."""

    finding: Finding


def cells_of(lines: Iterable[str], where: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank, the header as line 1.

    Raises:
        Unreadable: It is empty, no text in UTF-8, or no CSV.
    """
    reader = csv.reader(lines)
    empty = True
    try:
        for cells in reader:
            if cells:
                empty = False
                yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise Unreadable(
            _error(
                "csv_unreadable",
                Problem(
                    where,
                    f"line {reader.line_num + 1}",
                    "the file is not text in UTF-8",
                    got=f"byte {error.object[error.start]:#04x}",
                    remedy="Save it as 'CSV UTF-8'.",
                ),
            )
        ) from error
    except csv.Error as error:
        raise Unreadable(
            _error("csv_unreadable", Problem(where, f"line {reader.line_num}", str(error)))
        ) from error
    if empty:
        raise Unreadable(_error("csv_unreadable", Problem(where, "", "the CSV is empty")))


def _error(code: str, problem: Problem) -> Finding:
    return Finding("error", code, problem)
