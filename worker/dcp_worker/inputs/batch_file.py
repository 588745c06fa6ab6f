"""Batch files (CreateBatchFiles): finds the images of a group and puts local paths into the file.

CellProfiler stores measurements below `Measurements/<start of the run>/<object>/<feature>`: values
in `data`, and in `index` a row (image number, first value, end) for each image set. LoadData finds
images by their URL_. NamesAndTypes finds them by a URL in a blob, to which it applies the path
mappings of CreateBatchFiles when it runs.

LoadData also reads its CSV again, at the path from CreateBatchFiles: such a batch file needs a
mounted bucket.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dcp_worker.load_data.group_match import CsvError, some
from dcp_worker.load_data.local_paths import MOUNT

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

    from dcp_worker.load_data.local_paths import PathMapping, S3Object

_KINDS = ("URL_", "ObjectsURL_")
# CellProfiler's image number for values that belong to all image sets.
_EXPERIMENT = 0


def localize(
    batch: Path, group: Sequence[tuple[str, str]], paths: PathMapping
) -> dict[str, S3Object]:
    """Change a batch file so that CellProfiler reads the images of a group from local files.

    Args:
        batch: The job's own copy of the file.
        group: Metadata column and value, as on CellProfiler's command line.
        paths: Maps the paths of images to S3 objects and local files.

    Returns:
        Local path -> object, for every image of the group that is in S3.

    Raises:
        CsvError: The file is not a batch file (`pipeline_unreadable`), has no image set of the
            group (`group_not_found`), or names an image that is not in S3 (`image_missing`).
    """
    images = {}
    with _run_of(batch) as run:
        features = run["Image"]
        numbers = _image_numbers(features, group)
        for name in [name for name in features if name.startswith(_KINDS)]:
            urls = _Feature(features[name])
            folders = features.get(name.replace("URL_", "PathName_"))
            for number in numbers:
                url = urls.text(number)
                s3_object = _s3_object(url, paths)
                if s3_object is not None:
                    local = paths.local(s3_object)
                    images[local] = s3_object
                    urls.set(number, "file:" + urllib.request.pathname2url(local))
                    if folders is not None:
                        _Feature(folders).set(number, os.path.dirname(local))
        _map_paths(run, paths)
    return images


def _s3_object(url: str, paths: PathMapping) -> S3Object | None:
    s3_object = paths.object(url) if url else None
    if s3_object is None and url.startswith("file:"):
        raise CsvError(
            "image_missing",
            f"The image {url} of the batch file is not in S3: its path is not below {MOUNT}/.",
        )
    return s3_object


def _map_paths(run: h5py.Group, paths: PathMapping) -> None:
    """Let the path mappings point to the local folder instead of the bucket."""
    mapped = run.get("Experiment/Path_Mappings")
    if mapped is None:
        return
    feature = _Feature(mapped)
    document = json.loads(feature.text(_EXPERIMENT))
    document["PathMappings"] = [
        (theirs, _local_folder(ours, paths)) for theirs, ours in document["PathMappings"]
    ]
    feature.set(_EXPERIMENT, json.dumps(document))


def _local_folder(folder: str, paths: PathMapping) -> str:
    local = paths.local_folder(folder)
    if local is None:
        return folder
    return f"{local}/" if folder.endswith("/") else local


@contextmanager
def _run_of(batch: Path) -> Iterator[h5py.Group]:
    """Open the measurements of a batch file for changes."""
    import h5py  # no other job needs it

    try:
        with h5py.File(batch, "r+") as file:
            runs = file["Measurements"]
            yield runs[max(runs)]
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CsvError(
            "pipeline_unreadable", f"{batch.name} is not a complete batch file: {error}."
        ) from error


class _Feature:
    """The values of one feature, one text per image number."""

    def __init__(self, feature: h5py.Group) -> None:
        self._data = feature["data"]
        index = feature["index"][()].tolist()
        self._at = {number: first for number, first, end in index if first < end}

    def text(self, number: int) -> str:
        """One value; empty if missing."""
        return _text(self._data[self._at[number]]) if number in self._at else ""

    def texts(self) -> dict[int, str]:
        """All values, as CellProfiler compares them with a group's."""
        data = self._data[()]
        return {number: _text(data[at]) for number, at in self._at.items()}

    def set(self, number: int, text: str) -> None:
        if number in self._at:
            self._data[self._at[number]] = text.encode("utf-8")


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _image_numbers(features: h5py.Group, group: Sequence[tuple[str, str]]) -> Sequence[int]:
    """The image numbers of a group."""
    metadata = sorted(name for name in features if name.startswith("Metadata_"))
    for key, _ in group:
        if key not in metadata:
            keys = ", ".join(metadata) or "none"
            raise CsvError(
                "group_not_found",
                f"The batch file has no metadata {key}; its metadata keys are: {keys}.",
            )
    values = {key: _Feature(features[key]).texts() for key, _ in group}
    numbers = [
        number
        for number in _Feature(features["ImageNumber"]).texts()
        if all(values[key].get(number) == value for key, value in group)
    ]
    if not numbers:
        text = ",".join(f"{key}={value}" for key, value in group)
        existing = "; ".join(
            f"{key} has the values {some(sorted(set(texts.values())))}"
            for key, texts in values.items()
        )
        raise CsvError("group_not_found", f"No image set of the batch file has {text}: {existing}.")
    return numbers
