"""Objects to and from S3, many at a time, given up at once when the job is interrupted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError, S3UploadFailedError
from s3transfer.manager import TransferConfig, TransferManager

from dcp_worker.aws import S3_CONNECTIONS
from dcp_worker.diagnosis import JobFailedError, diagnose_os, diagnose_s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from s3transfer.futures import TransferFuture

    from dcp_worker.interruption import Check
    from dcp_worker.load_data import S3Object

_CONFIG = TransferConfig(max_request_concurrency=S3_CONNECTIONS)


def download(s3: S3Client, what: str, files: Mapping[str, S3Object], check: Check) -> None:
    """Download objects.

    Args:
        s3: The client.
        what: What they are to the job, for the diagnosis: pipeline, data_file, image, input.
        files: Local path -> object.
        check: Raises when the job is interrupted.

    Raises:
        JobFailedError: An object does not exist or cannot be had, or the disk is full.
    """
    for folder in {os.path.dirname(path) for path in files}:
        os.makedirs(folder, exist_ok=True)
    with TransferManager(s3, _CONFIG) as manager:
        futures = [
            (place, manager.download(place.bucket, place.key, path))
            for path, place in files.items()
        ]
        for place, future in futures:
            _finish(future, what, place.bucket, place.key, check)


def upload(
    s3: S3Client,
    files: Iterable[tuple[str, str]],
    bucket: str,
    arguments: Mapping[str, object],
    check: Check,
) -> None:
    """Upload files: pairs of local path and key.

    Raises:
        JobFailedError: S3 does not take a file.
    """
    with TransferManager(s3, _CONFIG) as manager:
        futures = [
            (key, manager.upload(path, bucket, key, extra_args=dict(arguments)))
            for path, key in files
        ]
        for key, future in futures:
            _finish(future, "output", bucket, key, check)


def _finish(future: TransferFuture, what: str, bucket: str, key: str, check: Check) -> None:
    # The manager is left with the exception and cancels what is still under way.
    while not future.done():
        check()
        time.sleep(0.01)
    try:
        future.result()
    except (BotoCoreError, ClientError) as error:
        raise JobFailedError(diagnose_s3(error, what, bucket, key)) from error
    except (RetriesExceededError, S3DownloadFailedError, S3UploadFailedError) as error:
        raise JobFailedError(diagnose_s3(error, what, bucket, key)) from error
    except OSError as error:
        doing = f"transferring s3://{bucket}/{key}"
        raise JobFailedError(diagnose_os(error, doing)) from error


def listing(s3: S3Client, bucket: str, prefix: str, limit: int) -> Sequence[tuple[str, int]]:
    """Key and size in bytes of at most `limit` objects below a prefix that ends in /.

    Raises:
        JobFailedError: S3 does not list them.
    """
    found: list[tuple[str, int]] = []
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            found += [(item["Key"], item["Size"]) for item in page.get("Contents", [])]
            if len(found) >= limit:
                break
    except (BotoCoreError, ClientError) as error:
        raise JobFailedError(diagnose_s3(error, "listing", bucket, prefix)) from error
    return found[:limit]
