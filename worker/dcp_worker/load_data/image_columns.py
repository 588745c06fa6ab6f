"""The columns of a LoadData CSV that name images, and their local values on this machine."""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcp_worker.load_data.local_paths import PathMapping


@dataclass(frozen=True)
class ImageColumns:
    """Column indexes of one image or objects file of an image set; -1: no such column."""

    url: int
    path: int
    file: int

    def source_path(self, row: Sequence[str]) -> str:
        """The image's path; empty if LoadData reads it from the default input folder."""
        if self.url >= 0:
            return row[self.url]
        if self.file < 0:
            return ""
        folder = row[self.path] if self.path >= 0 else ""
        name = row[self.file]
        if name.startswith("/"):
            return name
        # Not posixpath.join: it would keep a trailing / of an s3:// folder as // in the key.
        return f"{folder.rstrip('/')}/{name}" if folder else ""

    def localize(self, row: list[str], paths: PathMapping) -> None:
        """Replace the image's path in a row by the local path, if the image is in S3."""
        path = self.source_path(row)
        if self.url >= 0:
            s3_object = paths.object(path)
            if s3_object is not None:
                row[self.url] = "file:" + urllib.request.pathname2url(paths.local(s3_object))
            return
        folder, _, name = path.rpartition("/")
        local_folder = paths.local_folder(folder)
        if not name or local_folder is None:
            return
        local = f"{local_folder}/{name}"
        if self.path < 0:
            row[self.file] = local
        elif local.endswith(f"/{row[self.file]}"):
            # Only the folder: FileName_ is a measurement in the outputs and must not change.
            row[self.path] = local[: -len(row[self.file]) - 1]
        else:
            row[self.path], row[self.file] = local_folder, name


def images_of(header: Sequence[str]) -> list[ImageColumns]:
    """The images that a CSV names."""
    at = {name: index for index, name in enumerate(header)}
    images: list[ImageColumns] = []
    for prefix in ("", "Objects"):
        kinds = [f"{prefix}{kind}_" for kind in ("URL", "PathName", "FileName")]
        names = {name[len(kind) :] for kind in kinds for name in header if name.startswith(kind)}
        images += [
            ImageColumns(*(at.get(f"{kind}{name}", -1) for kind in kinds)) for name in sorted(names)
        ]
    return images


def localized(row: Sequence[str], images: Sequence[ImageColumns], paths: PathMapping) -> list[str]:
    """A row with the local paths of its images."""
    local = list(row)
    for image in images:
        image.localize(local, paths)
    return local
