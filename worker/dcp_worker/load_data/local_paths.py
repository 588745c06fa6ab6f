"""Maps a path in a CSV or file list to its S3 object and to its file on this machine."""

from __future__ import annotations

import posixpath
import urllib.parse
import urllib.request
from dataclasses import dataclass

# Distributed-CellProfiler mounts the source bucket here; its CSVs contain paths below it.
MOUNT = "/home/ubuntu/bucket"


@dataclass(frozen=True)
class S3Object:
    """Bucket and key of an object."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class PathMapping:
    """Maps a path in a CSV or file list to an S3 object and a local file.

    Args:
        source_bucket: The bucket of paths without a bucket.
        folder: Folder for downloads.
        mounted: The source bucket is readable as files below DCP's mount, without downloads.
    """

    def __init__(self, source_bucket: str, folder: str, mounted: bool = False) -> None:
        self._source_bucket = source_bucket
        self._folder = folder
        self._mounted = mounted
        self._folders: dict[str, str | None] = {}

    @property
    def arguments(self) -> dict[str, str | bool]:
        """Keyword arguments that create an equal value."""
        return {**self.rules, "folder": self._folder}

    @property
    def rules(self) -> dict[str, str | bool]:
        """The arguments that decide which paths are in S3, independent of the folder."""
        return {"source_bucket": self._source_bucket, "mounted": self._mounted}

    def object(self, path: str) -> S3Object | None:
        """The object of a path; None if it is not in S3 (another URL, another folder).

        A path is absolute below DCP's mount, relative to the root of the source bucket, an `s3://`
        URL, or a `file:` URL of one of the first two.
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

    def local(self, s3_object: S3Object) -> str:
        """The local file of an object."""
        # The leading / keeps a key with .. below the folder of its bucket.
        below = posixpath.normpath(f"/{s3_object.key}").lstrip("/")
        if self._mounted and s3_object.bucket == self._source_bucket:
            return posixpath.join(MOUNT, below)
        return posixpath.join(self._folder, s3_object.bucket, below)

    def local_folder(self, folder: str) -> str | None:
        """The local folder of a path's folder; cached, because a CSV repeats few folders."""
        if folder not in self._folders:
            s3_object = self.object(f"{folder}/file")
            self._folders[folder] = posixpath.dirname(self.local(s3_object)) if s3_object else None
        return self._folders[folder]
