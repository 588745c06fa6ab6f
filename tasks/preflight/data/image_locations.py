"""Locations of the images of a LoadData CSV: maps paths to S3 objects. Pure.

Follows the worker's rules: a path is absolute below DCP's mount, relative to the top of the images'
bucket, an s3:// address, or a file: URL of one of the first two.
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


class NotInS3(Exception):
    """The path does not exist on the machines of the run."""


@dataclass(frozen=True)
class ImageColumns:
    """Column indexes of one image of an image set; -1: no such column."""

    name: str
    url: int
    path: int
    file: int


def image_columns(columns: Sequence[str]) -> list[ImageColumns]:
    """The images that the columns of a CSV name."""
    at = {name: index for index, name in enumerate(columns)}
    images = []
    for prefix in ("", "Objects"):
        kinds = [f"{prefix}{kind}_" for kind in ("URL", "PathName", "FileName")]
        names = {c[len(kind) :] for kind in kinds for c in columns if c.startswith(kind)}
        images += [
            ImageColumns(name, *(at.get(f"{kind}{name}", -1) for kind in kinds))
            for name in sorted(names)
        ]
    return images


class ImageLocator:
    """Finds the objects that rows name.

    Args:
        columns: The CSV's columns.
        bucket: The images' bucket, for paths without a bucket.
    """

    def __init__(self, columns: Sequence[str], bucket: str) -> None:
        self.images = image_columns(columns)
        self._bucket = bucket
        self._folder = cache(self._locate)

    def locate_row(self, row: Sequence[str]) -> Iterator[tuple[str, str] | str]:
        """Bucket and key of each image of a row; other addresses unchanged.

        Raises:
            NotInS3: An image is not in S3.
            ValueError: An image has no name.
        """
        for image in self.images:
            if image.url >= 0:
                yield self._locate(row[image.url])
            else:
                folder = row[image.path] if image.path >= 0 else ""
                yield self._named(folder, row[image.file])

    def locate(self, path: str) -> tuple[str, str] | str:
        """Bucket and key of a path; other addresses unchanged.

        Raises:
            NotInS3: The path is not in S3.
        """
        return self._locate(path)

    def _named(self, folder: str, name: str) -> tuple[str, str] | str:
        if not name.strip():
            raise ValueError
        if name.startswith("/") or not folder or "/" in name or "\\" in name:
            full_path = (
                name if name.startswith("/") or not folder else f"{folder.rstrip('/')}/{name}"
            )
            return self._locate(full_path)
        place = self._folder(folder.rstrip("/") + "/")
        if isinstance(place, str):
            return place + name
        return place[0], place[1] + name

    def _locate(self, path: str) -> tuple[str, str] | str:
        """Bucket and key of a path, or of a folder if it ends with a slash."""
        if not path.strip():
            raise ValueError
        end = "/" if path.endswith("/") else ""
        if path.lower().startswith("s3://"):
            bucket, _, key = path[5:].partition("/")
            if not bucket or not (key or end):
                raise NotInS3(path)
            return bucket, key
        if path.lower().startswith("file:"):
            path = urllib.request.url2pathname(urlsplit(path).path)
        elif "://" in path:
            return path
        if _WINDOWS.match(path):
            raise NotInS3(path)
        full_path = posixpath.normpath(posixpath.join(MOUNT, path))
        if full_path != MOUNT and not full_path.startswith(f"{MOUNT}/"):
            raise NotInS3(path)
        key = full_path[len(MOUNT) + 1 :]
        return self._bucket, f"{key}{end}" if key else ""
