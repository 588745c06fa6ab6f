"""Where the inputs of all jobs lie: buckets, mount, and what the machine has of them already."""

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
    """Where the inputs of all jobs lie.

    Attributes:
        source: Bucket of the images.
        workspace: Bucket of pipeline, data file and input folder.
        mounted: The source bucket can be read as files below DCP's mount.
        cache: Of the machine.
    """

    source: Bucket
    workspace: Bucket
    mounted: bool
    cache: Cache

    @classmethod
    def of(cls, settings: Settings, clients: Clients, cache_folder: Path, mounted: bool) -> Sources:
        """Of a worker; a public source bucket is read without credentials."""
        s3 = clients.anonymous_s3 if settings.no_sign_request else clients.s3
        source = Bucket(settings.source_bucket, s3)
        same = settings.workspace_bucket == settings.source_bucket
        workspace = source if same else Bucket(settings.workspace_bucket, clients.s3)
        return cls(source, workspace, mounted, Cache(cache_folder))

    def bucket(self, name: str) -> Bucket:
        """A bucket that a CSV names: any but the workspace is read as the source is."""
        return self.workspace if name == self.workspace.name else Bucket(name, self.source.s3)


@contextmanager
def kept(sources: Sources, what: str, key: str, etag: str, check: Check) -> Iterator[Path]:
    """The cache's entry of an object of the workspace, with `content/file` in it.

    Raises:
        JobFailedError: It cannot be had, or is no longer the one of that ETag.
    """
    bucket = sources.workspace

    def fill(folder: Path) -> None:
        stored = s3_transfer.head(bucket, key, what)
        if stored.etag != etag:
            raise JobFailedError(s3_transfer.replaced(str(stored)))
        s3_transfer.download(what, {str(folder / "file"): stored}, check)

    with sources.cache.entry((bucket.name, key, etag), fill, check) as entry:
        yield entry
