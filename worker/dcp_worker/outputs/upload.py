"""A job's outputs: uploaded only after success, then confirmed; counted to skip completed jobs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dcp_worker.common import s3_transfer
from dcp_worker.common.s3_transfer import Bucket
from dcp_worker.diagnosis.diagnose import Diagnosis, JobFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from dcp_worker.common.cancellation import Check
    from dcp_worker.common.settings import Settings

_LISTED = 100_000


@dataclass(frozen=True)
class UploadedFiles:
    """The outputs of a job in S3.

    Attributes:
        sizes: Path below the job's output folder -> bytes.
    """

    sizes: Mapping[str, int]

    @property
    def files(self) -> int:
        """Number of files."""
        return len(self.sizes)

    @property
    def bytes(self) -> int:
        """Total size."""
        return sum(self.sizes.values())


def files_below(folder: Path) -> list[Path]:
    """All files that CellProfiler wrote."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def publish(
    s3: S3Client,
    folder: Path,
    bucket: str,
    prefix: str,
    arguments: Mapping[str, object],
    check: Check,
) -> UploadedFiles:
    """Upload all files of a folder and confirm that S3 has each with its full size.

    Args:
        s3: S3 client.
        folder: CellProfiler's output folder.
        bucket: Destination bucket.
        prefix: Key prefix, with a trailing /.
        arguments: boto3's ExtraArgs.
        check: Raises when the job is interrupted.

    Raises:
        JobFailedError: S3 rejects a file, or has a different size of it.
    """
    destination = Bucket(bucket, s3)
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in files_below(folder)
    }
    files = [(str(folder / name), f"{prefix}{name}") for name in sizes]
    s3_transfer.upload(destination, files, arguments, check)
    keys = [key for _, key in files]
    stored = s3_transfer.in_parallel(
        partial(s3_transfer.head, destination, what="output"), keys, check
    )
    for output, size in zip(stored, sizes.values()):
        if output.size != size:
            raise JobFailedError(
                Diagnosis(
                    "upload_incomplete",
                    f"{output} has {output.size} bytes after the upload of {size}.",
                )
            )
    return UploadedFiles(sizes)


def has_outputs(s3: S3Client, settings: Settings, prefix: str) -> bool:
    """Whether the output folder of a job already holds enough files to skip the job."""
    listed = s3_transfer.listing(Bucket(settings.destination_bucket, s3), prefix, _LISTED)
    return enough_files(((stored.key, stored.size) for stored in listed), settings)


def enough_files(objects: Iterable[tuple[str, int]], settings: Settings) -> bool:
    """Whether the objects (key, size in bytes) suffice to skip a job; only file names count."""
    counted = [
        key
        for key, size in objects
        if size >= settings.min_file_size_bytes
        and settings.necessary_string in key.rsplit("/", 1)[-1]
    ]
    return len(counted) >= settings.expected_number_files
