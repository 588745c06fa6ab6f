"""The structure of a LoadData CSV: its columns, and rows that are too long or too short. Pure.

LoadData silently cuts surplus cells off a row. So an extra comma within a row moves all cells after
it into the wrong columns without an error.
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


def header_findings(
    columns: Sequence[str], row: Sequence[str], where: str, keys: Sequence[str]
) -> Iterator[Finding]:
    """What is wrong with the columns.

    Args:
        columns: The columns, as LoadData names them.
        row: The first row: it shows whether FileName_ columns hold whole paths.
        where: The key of the CSV.
        keys: The metadata keys of the jobs.
    """
    if len(columns) == 1 and (sign := next((s for s in ";\t|" if s in columns[0]), None)):
        # Further findings would be about cells that do not exist.
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
                Problem(where, name, f"the column occurs {times} times", remedy="Keep one."),
            )
    for name in columns:
        if name != name.strip() and name.strip():
            yield _error(
                "csv_column_space",
                Problem(
                    where,
                    name.strip(),
                    "the column's name starts or ends with a space",
                    got=repr(name),
                    remedy="Remove the space: CellProfiler treats it as a different column.",
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
            remedy="This is probably a pandas index: write the CSV with to_csv(..., index=False)."
            if index
            else "Find ',,' or a comma at the end of the first line, and remove it.",
        ),
    )


def _image_columns(columns: Sequence[str], row: Mapping[str, str], where: str) -> Iterator[Finding]:
    names = set(columns)
    if not any(name.startswith(("FileName_", "URL_")) for name in columns):
        yield _error(
            "csv_no_images",
            Problem(where, "", "no column names images", allowed="FileName_… and PathName_…"),
        )
    for prefix in ("", "Objects"):
        for name in columns:
            if name.startswith(f"{prefix}PathName_"):
                channel = name[len(f"{prefix}PathName_") :]
                if not names & {f"{prefix}FileName_{channel}", f"{prefix}URL_{channel}"}:
                    yield _pair(where, f"{prefix}FileName_{channel}", name, columns)
            elif name.startswith(f"{prefix}FileName_"):
                channel = name[len(f"{prefix}FileName_") :]
                whole = row.get(name, "").startswith(("/", "s3://"))
                pair = {f"{prefix}PathName_{channel}", f"{prefix}URL_{channel}"}
                if not whole and not names & pair:
                    yield _pair(where, f"{prefix}PathName_{channel}", name, columns)


def _pair(where: str, missing: str, partner: str, columns: Sequence[str]) -> Finding:
    near = difflib.get_close_matches(missing, [name for name in columns if name != partner], 1, 0.9)
    return _error(
        "csv_pair_missing",
        Problem(
            where,
            missing,
            f"the column is missing, although the CSV has {partner}",
            remedy=f"Is it {near[0]}?" if near else "Add it, with a value for each image.",
        ),
    )


@dataclass
class RowChecker:
    """Collects mistakes in the rows of a CSV while they are read.

    Attributes:
        where: The key of the CSV.
        columns: Expected number of cells per row.
        count: Number of rows read.
    """

    where: str
    columns: int
    count: int = 0
    _lines: dict[str, list[int]] = field(default_factory=dict)
    _times: Counter[str] = field(default_factory=Counter)
    _first: dict[str, str] = field(default_factory=dict)

    def check(self, line: int, cells: Sequence[str]) -> bool:
        """Check a row; returns whether LoadData reads it as intended."""
        self.count += 1
        if len(cells) == self.columns:
            return True
        surplus = cells[self.columns :]
        if len(cells) < self.columns:
            code = "csv_short_row"
        else:
            code = "csv_long_row" if any(cell.strip() for cell in surplus) else "csv_end_comma"
        self.record(code, line, f"{len(cells)} cells")
        return code == "csv_end_comma"

    def record(self, code: str, line: int, got: str) -> None:
        """Record a mistake in a line."""
        self._times[code] += 1
        self._first.setdefault(code, got)
        lines = self._lines.setdefault(code, [])
        if len(lines) < SHOWN:
            lines.append(line)

    def findings(self) -> Iterator[Finding]:
        """One finding per kind of mistake, with the first lines."""
        if not self.count:
            yield _error(
                "csv_no_rows",
                Problem(
                    self.where,
                    "",
                    "the CSV has a header but no rows",
                    remedy="Check the program that wrote it.",
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
        "the row is too short; CellProfiler fails on it",
        "Add the missing cells, or remove the row.",
    ),
    "csv_long_row": (
        "the row is too long: its values are in the wrong columns",
        "Find ',,' in it and remove the comma.",
    ),
    "csv_end_comma": ("the row ends with an extra comma", "Remove it."),
    "csv_image_empty": (
        "a cell that should name an image is empty",
        "Find ',,' in the row; write the image's name, or remove the row.",
    ),
    "csv_path": (
        "the image's path does not exist on the machines of the run",
        f"Start it with {MOUNT}/, which is the top of the images' bucket.",
    ),
}


@dataclass
class Unreadable(Exception):
    """The file cannot be read as a CSV."""

    finding: Finding


def read_rows(lines: Iterable[str], where: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank; the header is line 1.

    Raises:
        Unreadable: The file is empty, not UTF-8 text, or not a CSV.
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
                    "the file is not UTF-8 text",
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
