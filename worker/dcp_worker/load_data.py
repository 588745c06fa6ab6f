"""The LoadData CSV of a job: its group's rows, their images, and a copy with local paths."""

from __future__ import annotations

import csv
import posixpath
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from dcp_worker.group import CsvError, GroupRows

if TYPE_CHECKING:
    from pathlib import Path

    from dcp_worker.interruption import Check

# Where Distributed-CellProfiler mounts the source bucket: its CSVs hold paths below it.
MOUNT = "/home/ubuntu/bucket"


@dataclass(frozen=True)
class S3Object:
    """Where an object lies."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Selection:
    """What a job needs of its CSV.

    Attributes:
        rows: How many rows (image sets) the group has.
        images: Local path -> object, for every image of these rows.
        data_file: The local CSV. It holds the group's rows only when `numbering` is given.
        numbering: What `numbering.applied` needs to run these rows as part of the whole CSV; None
            when the pipeline must see the whole CSV.
    """

    rows: int
    images: Mapping[str, S3Object]
    data_file: Path
    numbering: Path | None


class Places:
    """Which object and which local file a path of a CSV or list of files stands for."""

    def __init__(self, source_bucket: str, folder: str) -> None:
        self._source_bucket = source_bucket
        self._folder = folder
        self._folders: dict[str, str | None] = {}

    def object(self, path: str) -> S3Object | None:
        """The object of a path; None when it is not in S3 (another URL, another folder).

        A path is absolute below DCP's mount, relative to the root of the source bucket, `s3://`,
        or a `file:` URL of one of the first two.
        """
        if path.lower().startswith("s3://"):
            bucket, _, key = path[5:].partition("/")
            return S3Object(bucket, key) if bucket and key else None
        if path.lower().startswith("file:"):
            path = urllib.request.url2pathname(urllib.parse.urlsplit(path).path)
        elif "://" in path:
            return None
        whole = posixpath.normpath(posixpath.join(MOUNT, path))
        key = whole[len(MOUNT) + 1 :]
        return S3Object(self._source_bucket, key) if key and whole.startswith(f"{MOUNT}/") else None

    def local(self, place: S3Object) -> str:
        """The local file of an object."""
        # The leading / keeps a key with .. below the folder of its bucket.
        below = posixpath.normpath(f"/{place.key}").lstrip("/")
        return posixpath.join(self._folder, place.bucket, below)

    def local_folder(self, folder: str) -> str | None:
        """The local folder of a path's folder; kept, for a CSV names few folders very often."""
        if folder not in self._folders:
            place = self.object(f"{folder}/file")
            self._folders[folder] = posixpath.dirname(self.local(place)) if place else None
        return self._folders[folder]


@dataclass(frozen=True)
class _Image:
    """The columns of one image or objects file of an image set; -1: no such column."""

    url: int
    path: int
    file: int


def select(
    csv_file: Path,
    etag: str,
    index_folder: Path,
    pipeline: Path,
    group: Sequence[tuple[str, str]],
    places: Places,
    target: Path,
    check: Check,
) -> Selection:
    """Find the rows of a group and write a CSV with local paths for CellProfiler.

    Args:
        csv_file: The CSV as it is in S3.
        etag: Its ETag: the same rows are looked up again without reading it.
        index_folder: Where what was read of it is kept, for all slots of the machine; made here.
        pipeline: The pipeline; it decides whether the group's rows alone will do.
        group: Metadata column and value, as on CellProfiler's command line.
        places: Of the images.
        target: Where to write the local CSV; `numbering` is written beside it.
        check: Raises when the job is interrupted.

    Raises:
        CsvError: The CSV is malformed, has no row of the group (`group_not_found`), or names an
            image of the group that is not in S3 (`image_missing`).
    """
    check()
    with (
        csv_file.open(encoding="utf-8-sig", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as local,
    ):
        rows, images = _localize(source, local, group, places)
    return Selection(rows, images, target, None)


def write_whole(csv_file: Path, target: Path, places: Places) -> None:
    """Write the whole CSV with local paths, as CellProfiler's command line needs it.

    Raises:
        CsvError: The CSV is malformed.
    """
    with (
        csv_file.open(encoding="utf-8-sig", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as local,
    ):
        _localize(source, local, None, places)


def _localize(
    source: TextIO, local: TextIO, group: Sequence[tuple[str, str]] | None, places: Places
) -> tuple[int, dict[str, S3Object]]:
    """Write the CSV with local paths; the number of the group's rows, and their images."""
    reader = csv.reader(source)
    try:
        header = [_column(name) for name in next(reader)]
        images = _image_columns(header)
        group_rows = None if group is None else GroupRows(header, group)
        writer = csv.writer(local, lineterminator="\n")
        writer.writerow(header)
        for row in _rows(reader, len(header)):
            if group_rows is not None:
                group_rows.see(row)
            writer.writerow(_localized(row, images, places))
    except StopIteration:
        raise CsvError("csv_empty", "The LoadData CSV is empty.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise CsvError("csv_malformed", f"The LoadData CSV is not a CSV: {error}.") from error
    rows = [] if group_rows is None else group_rows.rows()
    return len(rows), dict(_needed(rows, images, places))


def localize_list(source: TextIO, local: TextIO, places: Places) -> dict[str, S3Object]:
    """Write a list of files (`--file-list`, a path or URL a line) with local paths.

    Returns:
        Local path -> object, for every file of the list that is in S3.

    Raises:
        CsvError: The list is not text or names a file that is not in S3 (`image_missing`).
    """
    files = {}
    try:
        for path in (line.strip() for line in source):
            place = places.object(path) if path else None
            if place is not None:
                files[places.local(place)] = place
                local.write(f"{places.local(place)}\n")
            elif "://" in path or not path:
                local.write(f"{path}\n")
            else:
                raise CsvError("image_missing", _not_in_s3(path))
    except UnicodeDecodeError as error:
        raise CsvError("csv_malformed", f"The list of files is not text: {error}.") from error
    return files


def _not_in_s3(path: str) -> str:
    return (
        f"The image {path} is not in S3: write a path below {MOUNT}/, a path relative to the "
        "bucket, or s3://bucket/key."
    )


def _column(name: str) -> str:
    """LoadData reads Image_FileName_DNA as FileName_DNA."""
    for kind in ("Image_FileName_", "Image_PathName_", "Image_URL_"):
        if name.startswith(kind):
            return name[len("Image_") :]
    return name


def _rows(reader: Iterable[list[str]], columns: int) -> Iterator[list[str]]:
    """The rows as LoadData takes them: blank lines and surplus fields left out."""
    for number, row in enumerate(reader, start=2):
        if not row:
            continue
        if len(row) < columns:
            raise CsvError(
                "csv_malformed",
                f"Row {number} of the LoadData CSV has {len(row)} fields, its header {columns}.",
            )
        yield row[:columns]


def _image_columns(header: Sequence[str]) -> list[_Image]:
    at = {name: index for index, name in enumerate(header)}
    found = []
    for prefix in ("", "Objects"):
        kinds = [f"{prefix}{kind}_" for kind in ("URL", "PathName", "FileName")]
        names = {name[len(kind) :] for kind in kinds for name in header if name.startswith(kind)}
        found += [
            _Image(*(at.get(f"{kind}{name}", -1) for kind in kinds)) for name in sorted(names)
        ]
    return found


def _path(row: Sequence[str], image: _Image) -> str:
    """The path of a row's image; empty when LoadData takes it from the default input folder."""
    if image.url >= 0:
        return row[image.url]
    if image.file < 0:
        return ""
    folder = row[image.path] if image.path >= 0 else ""
    name = row[image.file]
    if name.startswith("/"):
        return name
    # Not by posixpath.join: a key of s3:// is taken as it is, and has no // for a folder's last /.
    return f"{folder.rstrip('/')}/{name}" if folder else ""


def _localized(row: list[str], images: Sequence[_Image], places: Places) -> list[str]:
    for image in images:
        path = _path(row, image)
        if image.url >= 0:
            place = places.object(path)
            if place is not None:
                row[image.url] = "file:" + urllib.request.pathname2url(places.local(place))
            continue
        folder, _, name = path.rpartition("/")
        local_folder = places.local_folder(folder)
        if not name or local_folder is None:
            continue
        local = f"{local_folder}/{name}"
        if image.path < 0:
            row[image.file] = local
        elif local.endswith(f"/{row[image.file]}"):
            # Only the folder: FileName_ is a measurement of the outputs and stays as it is.
            row[image.path] = local[: -len(row[image.file]) - 1]
        else:
            row[image.path], row[image.file] = local_folder, name
    return row


def _needed(
    rows: Iterable[list[str]], images: Sequence[_Image], places: Places
) -> Iterator[tuple[str, S3Object]]:
    for row in rows:
        for image in images:
            path = _path(row, image)
            if not path:
                continue
            place = places.object(path)
            if place is not None:
                yield places.local(place), place
            elif "://" not in path:
                raise CsvError("image_missing", _not_in_s3(path))
