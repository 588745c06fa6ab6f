"""Locations of all jobs' inputs: buckets, the mount, and the machine's cache."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcp_worker.common import s3_transfer
from dcp_worker.common.s3_transfer import Bucket
from dcp_worker.diagnosis.diagnose import JobFailedError
from dcp_worker.inputs.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dcp_worker.common.aws_clients import Clients
    from dcp_worker.common.cancellation import Check
    from dcp_worker.common.settings import Settings


@dataclass(frozen=True)
class Sources:
    """Locations of all jobs' inputs.

    Attributes:
        source: Bucket of the images.
        workspace: Bucket of pipeline, data file and input folder.
        mounted: The source bucket is readable as files below DCP's mount.
        cache: The machine's cache.
    """

    source: Bucket
    workspace: Bucket
    mounted: bool
    cache: Cache

    @classmethod
    def of(cls, settings: Settings, clients: Clients, cache_folder: Path, mounted: bool) -> Sources:
        """The sources of a worker; it reads a public source bucket without credentials."""
        s3 = clients.anonymous_s3 if settings.no_sign_request else clients.s3
        source = Bucket(settings.source_bucket, s3)
        same = settings.workspace_bucket == settings.source_bucket
        workspace = source if same else Bucket(settings.workspace_bucket, clients.s3)
        return cls(source, workspace, mounted, Cache(cache_folder))

    def bucket(self, name: str) -> Bucket:
        """A bucket named by a CSV; any but the workspace uses the source bucket's client."""
        return self.workspace if name == self.workspace.name else Bucket(name, self.source.s3)


@contextmanager
def cached(sources: Sources, what: str, key: str, etag: str, check: Check) -> Iterator[Path]:
    """The cache entry of an object in the workspace bucket; the object is its `content/file`.

    Raises:
        JobFailedError: The object is not accessible, or no longer has that ETag.
    """
    bucket = sources.workspace

    def fill(folder: Path) -> None:
        stored = s3_transfer.head(bucket, key, what)
        if stored.etag != etag:
            raise JobFailedError(s3_transfer.replaced(str(stored)))
        s3_transfer.download(what, {str(folder / "file"): stored}, check)

    with sources.cache.entry((bucket.name, key, etag), fill, check) as entry:
        yield entry
