"""A LoadData CSV as CellProfiler's LoadData reads it, in passes of constant memory."""

import csv
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from blocks.errors import AwsRefused, InputError, NotFound, Problem
from tasks.aws.clients import unsigned
from tasks.aws.errors import error_code, is_missing, is_refused
from tasks.jobs.csv_types import Column, Kind, Kinds

if TYPE_CHECKING:
    from tasks.runs.run import Run

# The default keeps ten parts and 25 MB of blocks on their way, 50 MB of memory.
_DOWNLOAD = TransferConfig(max_concurrency=4, max_io_queue=16)
_BOM = "\ufeff"
_FILES = ("PathName", "FileName", "URL", "ObjectsFileName", "ObjectsPathName", "ObjectsURL")


@dataclass(frozen=True)
class LoadData:
    """A LoadData CSV, as a local copy.

    Attributes:
        key: Its S3 address, for messages.
        path: The local copy.
        columns: The columns, by the names that LoadData gives them.
    """

    key: str
    path: Path
    columns: tuple[str, ...]

    @classmethod
    def open(cls, key: str, path: Path) -> "LoadData":
        """Read the header.

        Raises:
            InputError: The file is empty or is no CSV.
        """
        with _records(key, path) as records:
            header = next(records, None)
        if header is None:
            raise InputError(Problem(key, "", "is empty", remedy="Write the CSV anew."))
        return cls(key, path, tuple(_column_name(name) for name in header[1]))

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of every row, without blank lines and without surplus cells.

        Raises:
            InputError: A row is too short, or the file is no CSV.
        """
        width = len(self.columns)
        with _records(self.key, self.path) as records:
            next(records)
            for line, cells in records:
                if len(cells) < width:
                    if not cells:
                        continue
                    raise InputError(
                        Problem(
                            self.key,
                            f"line {line}",
                            "is too short",
                            got=f"{len(cells)} cells",
                            allowed=f"{width}, as the header has",
                        )
                    )
                yield line, cells if len(cells) == width else cells[:width]

    def column(self, name: str) -> Column:
        """The metadata column of this name.

        Raises:
            Refusal: There is none.
        """
        return Column.of(self.columns, name)

    def kinds(self, columns: Iterable[str]) -> Mapping[str, Kind]:
        """What CellProfiler takes metadata columns for, by all their rows: int, float or str.

        Raises:
            Refusal: There is no such column.
            InputError: The file is no CSV.
        """
        found = [self.column(name) for name in columns]
        kinds = Kinds(len(found))
        for _, row in self.rows():
            kinds.see([column.value(row) for column in found])
        return {
            column.name: kind if column.numeric else str
            for column, kind in zip(found, kinds.found(), strict=True)
        }


class _Lines:
    """The lines of a file without a byte order mark, and how many were read."""

    def __init__(self, source: TextIO) -> None:
        self._source = source
        self.read = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = next(self._source)
        self.read += 1
        return line.removeprefix(_BOM) if self.read == 1 else line


@contextmanager
def _records(key: str, path: Path) -> Iterator[Iterator[tuple[int, list[str]]]]:
    with path.open(encoding="utf-8", newline="") as source:
        lines = _Lines(source)

        def records() -> Iterator[tuple[int, list[str]]]:
            begin = 1
            for cells in csv.reader(lines):
                yield begin, cells
                begin = lines.read + 1

        try:
            yield records()
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(
                Problem(
                    key,
                    f"line {lines.read + 1}",
                    f"is no line of a CSV: {error}",
                    remedy="Save the file as 'CSV UTF-8'.",
                )
            ) from error


def _column_name(name: str) -> str:
    """LoadData reads Image_FileName_DNA as FileName_DNA."""
    short = name.removeprefix("Image_")
    return short if short != name and short.startswith(tuple(f"{k}_" for k in _FILES)) else name


class Csvs:
    """LoadData CSVs of a run, each downloaded once; the copies are gone when the block is left.

    Example:
        ```python
        with Csvs(run) as csvs:
            print(csvs("projects/p1/load_data.csv").columns)
        ```
    """

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._open: dict[str, LoadData] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="dcp-csv-")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._folder:
            self._folder.cleanup()
        self._folder = None
        self._open.clear()

    def __call__(self, key: str) -> LoadData:
        """The CSV at a key of the workspace bucket.

        Raises:
            NotFound: It is not there.
            AwsRefused: These credentials may not read it.
            InputError: It is empty or is no CSV.
        """
        if key not in self._open:
            self._open[key] = self._fetched(key)
        return self._open[key]

    def _fetched(self, key: str) -> LoadData:
        if self._folder is None:
            raise RuntimeError("Csvs is used outside its with block")
        config = self._run.config
        address = f"s3://{config.workspace}/{key}"
        public = config.no_sign_request and config.workspace == config.images_bucket
        s3: Any = unsigned(self._run.aws.s3) if public else self._run.aws.s3
        path = Path(self._folder.name) / f"{len(self._open)}.csv"
        try:
            s3.download_file(config.workspace, key, str(path), Config=_DOWNLOAD)
        except ClientError as error:
            if is_refused(error):
                what = "these credentials may not read it"
                raise AwsRefused(Problem(address, "", what, got=error_code(error))) from error
            if is_missing(error):
                raise NotFound(
                    Problem(
                        address,
                        "",
                        "is not there",
                        remedy="Keys are paths from the top of the workspace bucket.",
                    )
                ) from error
            raise
        return LoadData.open(address, path)
