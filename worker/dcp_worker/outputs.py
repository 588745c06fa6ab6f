"""What a job writes: uploaded only after success, confirmed, and counted for skipping."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker import transfer
from dcp_worker.diagnosis import Diagnosis, JobFailedError, diagnose_s3

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from dcp_worker.interruption import Check
    from dcp_worker.settings import SkipRule

_CONFIRMED_AT_ONCE = 10
_LISTED = 100_000


@dataclass(frozen=True)
class Written:
    """How many files and bytes of outputs are in S3."""

    files: int
    bytes: int


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
) -> Written:
    """Upload all files of a folder and confirm that S3 has each of them whole.

    Args:
        s3: The client.
        folder: CellProfiler's output folder.
        bucket: The destination.
        prefix: Key prefix, with a / at its end.
        arguments: boto3's ExtraArgs.
        check: Raises when the job is interrupted.

    Raises:
        JobFailedError: S3 does not take a file, or has another size of it.
    """
    paths = files_below(folder)
    keys = [f"{prefix}{path.relative_to(folder).as_posix()}" for path in paths]
    sizes = [path.stat().st_size for path in paths]
    transfer.upload(s3, list(zip(map(str, paths), keys)), bucket, arguments, check)
    with ThreadPoolExecutor(_CONFIRMED_AT_ONCE) as pool:
        stored = list(pool.map(lambda key: _size(s3, bucket, key), keys))
    for key, size, found in zip(keys, sizes, stored):
        if size != found:
            raise JobFailedError(
                Diagnosis(
                    "upload_incomplete",
                    f"s3://{bucket}/{key} has {found} bytes after the upload of {size}.",
                    "",
                    "It is tried again.",
                    permanent=False,
                )
            )
    return Written(len(paths), sum(sizes))


def _size(s3: S3Client, bucket: str, key: str) -> int:
    try:
        return s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
    except (BotoCoreError, ClientError) as error:
        raise JobFailedError(diagnose_s3(error, "output", bucket, key)) from error


def already_there(s3: S3Client, bucket: str, prefix: str, rule: SkipRule) -> bool:
    """Whether the output folder of a job holds what the rule asks for."""
    return satisfies(transfer.listing(s3, bucket, prefix, _LISTED), rule)


def satisfies(objects: Iterable[tuple[str, int]], rule: SkipRule) -> bool:
    """Whether enough of the objects (key, size in bytes) count; the rule is about file names."""
    counted = [
        key
        for key, size in objects
        if size >= rule.bytes and rule.name_part in key.rsplit("/", 1)[-1]
    ]
    return len(counted) >= rule.files
