"""Where the images of a LoadData CSV lie: which object a path stands for. Pure.

The same rules as the worker's: a path is absolute below DCP's mount, relative to the top of the
bucket of the images, s3://, or a file: URL of one of the first two.
"""

import posixpath
import re
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from blocks.job_file.s3_keys import MOUNT

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")


class NoPlace(Exception):
    """The path is of a machine that the run does not have."""


@dataclass(frozen=True)
class ImageColumns:
    """The columns of one image of an image set; -1: no such column."""

    name: str
    url: int
    path: int
    file: int


def image_columns(columns: Sequence[str]) -> list[ImageColumns]:
    """The images that the columns of a CSV name."""
    at = {name: index for index, name in enumerate(columns)}
    found = []
    for prefix in ("", "Objects"):
        kinds = [f"{prefix}{kind}_" for kind in ("URL", "PathName", "FileName")]
        names = {c[len(kind) :] for kind in kinds for c in columns if c.startswith(kind)}
        found += [
            ImageColumns(name, *(at.get(f"{kind}{name}", -1) for kind in kinds))
            for name in sorted(names)
        ]
    return found


class Places:
    """Finds the objects that rows name.

    Args:
        columns: Of the CSV.
        bucket: Of the images: that of paths which name none.
    """

    def __init__(self, columns: Sequence[str], bucket: str) -> None:
        self.images = image_columns(columns)
        self._bucket = bucket
        self._folder = cache(self._place)

    def of(self, row: Sequence[str]) -> Iterator[tuple[str, str] | str]:
        """Bucket and key of each image of a row; an address of another kind as it is.

        Raises:
            NoPlace: An image is not in S3.
            ValueError: An image has no name.
        """
        for image in self.images:
            if image.url >= 0:
                found = self._place(row[image.url])
            else:
                folder = row[image.path] if image.path >= 0 else ""
                found = self._named(folder, row[image.file])
            yield found

    def of_path(self, path: str) -> tuple[str, str] | str:
        """Bucket and key of a path; an address of another kind as it is.

        Raises:
            NoPlace: It is not in S3.
        """
        return self._place(path)

    def _named(self, folder: str, name: str) -> tuple[str, str] | str:
        if not name.strip():
            raise ValueError
        if name.startswith("/") or not folder or "/" in name or "\\" in name:
            whole = name if name.startswith("/") or not folder else f"{folder.rstrip('/')}/{name}"
            return self._place(whole)
        place = self._folder(folder.rstrip("/") + "/")
        if isinstance(place, str):
            return place + name
        return place[0], place[1] + name

    def _place(self, path: str) -> tuple[str, str] | str:
        """Bucket and key of a path, or of a folder when it ends in a slash."""
        if not path.strip():
            raise ValueError
        end = "/" if path.endswith("/") else ""
        if path.lower().startswith("s3://"):
            bucket, _, key = path[5:].partition("/")
            if not bucket or not (key or end):
                raise NoPlace(path)
            return bucket, key
        if path.lower().startswith("file:"):
            path = urllib.request.url2pathname(urlsplit(path).path)
        elif "://" in path:
            return path
        if _WINDOWS.match(path):
            raise NoPlace(path)
        whole = posixpath.normpath(posixpath.join(MOUNT, path))
        if whole != MOUNT and not whole.startswith(f"{MOUNT}/"):
            raise NoPlace(path)
        key = whole[len(MOUNT) + 1 :]
        return self._bucket, f"{key}{end}" if key else ""
