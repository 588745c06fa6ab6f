"""The LoadData CSV of a job: its group's rows, their images, and a copy with local paths."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

from dcp_worker.load_data import csv_rows, image_set_index
from dcp_worker.load_data.group_match import CsvError
from dcp_worker.load_data.image_columns import ImageColumns, images_of, localized
from dcp_worker.load_data.local_paths import MOUNT
from dcp_worker.load_data.pipeline_text import grouping

if TYPE_CHECKING:
    from pathlib import Path

    from dcp_worker.common.cancellation import Check
    from dcp_worker.load_data.local_paths import PathMapping, S3Object

# Columns with which a CSV numbers its own image sets, such as one exported by CellProfiler.
_NUMBERS = frozenset(("ImageNumber", "Group_Number", "Group_Index", "Group_Length"))


@dataclass(frozen=True)
class Selection:
    """The part of a CSV that a job needs.

    Attributes:
        rows: Number of rows (image sets) of the group.
        images: Local path -> object, for every image of these rows.
        data_file: The local CSV. With `numbering` it holds only the group's rows.
        numbering: Input of `row_numbering.as_in_whole_csv`, which runs these rows as part of the
            whole CSV; None if the pipeline must see the whole CSV.
    """

    rows: int
    images: Mapping[str, S3Object]
    data_file: Path
    numbering: Path | None


@dataclass(frozen=True)
class Numbering:
    """Facts about the whole CSV that a run over one group's rows needs (see `row_numbering`).

    Attributes:
        first: ImageNumber of the first row; the others follow it.
        group_number: Number of the group.
        type_rows: CSV with a few rows that give LoadData's columns the same types as all rows.
        csv_file: The whole CSV, as in S3.
        paths: Arguments of its PathMapping.
    """

    first: int
    group_number: int
    type_rows: str
    csv_file: str
    paths: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Numbering:
        """Read it from a file."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Write it to a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def select(
    csv_file: Path,
    etag: str,
    index_folder: Path,
    pipeline: Path,
    group: Sequence[tuple[str, str]],
    paths: PathMapping,
    target: Path,
    check: Check,
) -> Selection:
    """Find the rows of a group and write a CSV with local paths for CellProfiler.

    Args:
        csv_file: The CSV, as in S3.
        etag: Its ETag: with the index, later jobs need not read the CSV again.
        index_folder: Folder of the index, shared by all slots of the machine; created here.
        pipeline: The pipeline; it decides whether the group's rows suffice.
        group: Metadata column and value, as on CellProfiler's command line.
        paths: Maps the paths of images to S3 objects and local files.
        target: Path of the local CSV; `numbering` is written beside it.
        check: Raises when the job is interrupted.

    Raises:
        CsvError: The CSV is malformed, has no row of the group (`group_not_found`), or names an
            image of the group that is not in S3 (`image_missing`).
    """
    values = dict(group)
    keys = _grouping(pipeline)
    # CellProfiler rejects keys other than the pipeline's; leave that error to CellProfiler.
    alone = set(keys) == set(values)
    keys = keys if alone else tuple(values)
    sets = image_set_index.find(csv_file, etag, index_folder, keys, values, paths, check)
    alone = alone and not _NUMBERS & set(sets.header)
    images = images_of(sets.header)
    needed = dict(_needed(sets.rows, images, paths))
    if not alone:
        write_whole(csv_file, target, paths, check)
        return Selection(len(sets.rows), needed, target, None)
    local = [localized(row, images, paths) for row in sets.rows]
    csv_rows.write(target, sets.header, local)
    type_rows = target.with_suffix(".type_rows.csv")
    local = [localized(row, images, paths) for row in sets.type_rows]
    csv_rows.write(type_rows, sets.header, local)
    path = target.with_suffix(".numbering.json")
    Numbering(sets.first, sets.group_number, str(type_rows), str(csv_file), paths.arguments).write(
        path
    )
    return Selection(len(sets.rows), needed, target, path)


def _grouping(pipeline: Path) -> tuple[str, ...]:
    if pipeline.suffix != ".cppipe":
        return ()
    return grouping(pipeline.read_text(encoding="utf-8", errors="replace")) or ()


def write_whole(
    csv_file: Path, target: Path, paths: PathMapping, check: Check = lambda: None
) -> None:
    """Write the whole CSV with local paths, for CellProfiler's command line.

    Raises:
        CsvError: The CSV is malformed.
    """
    with csv_rows.reading(csv_file, check) as (header, records):
        images = images_of(header)
        csv_rows.write(target, header, (localized(row, images, paths) for _, row in records))


def localize_list(source: TextIO, local: TextIO, paths: PathMapping) -> dict[str, S3Object]:
    """Write a file list (`--file-list`, one path or URL per line) with local paths.

    Returns:
        Local path -> object, for every file of the list that is in S3.

    Raises:
        CsvError: The list is not text or names a file that is not in S3 (`image_missing`).
    """
    files = {}
    try:
        for path in (line.strip() for line in source):
            s3_object = paths.object(path) if path else None
            if s3_object is not None:
                files[paths.local(s3_object)] = s3_object
                local.write(f"{paths.local(s3_object)}\n")
            elif "://" in path or not path:
                local.write(f"{path}\n")
            else:
                raise CsvError("image_missing", _not_in_s3(path))
    except UnicodeDecodeError as error:
        raise CsvError("csv_malformed", f"The file list is not text: {error}.") from error
    return files


def _not_in_s3(path: str) -> str:
    return (
        f"The image {path} is not in S3: its path is neither below {MOUNT}/, nor relative to the "
        "bucket, nor s3://bucket/key."
    )


def _needed(
    rows: Iterable[Sequence[str]], images: Sequence[ImageColumns], paths: PathMapping
) -> Iterator[tuple[str, S3Object]]:
    for row in rows:
        for image in images:
            path = image.source_path(row)
            if not path:
                continue
            s3_object = paths.object(path)
            if s3_object is not None:
                yield paths.local(s3_object), s3_object
            elif "://" not in path:
                raise CsvError("image_missing", _not_in_s3(path))
