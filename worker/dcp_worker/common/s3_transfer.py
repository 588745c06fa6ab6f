"""Transfers objects to and from S3 in parallel, and aborts at once if the job is interrupted."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError, S3UploadFailedError
from s3transfer.manager import TransferConfig, TransferManager
from s3transfer.subscribers import BaseSubscriber

from dcp_worker.common.aws_clients import S3_CONNECTIONS
from dcp_worker.diagnosis.diagnose import Diagnosis, JobFailedError, diagnose_os, diagnose_s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from s3transfer.futures import TransferFuture

    from dcp_worker.common.cancellation import Check

# Bytes that stay free after every download, for CellProfiler's temporary files and outputs.
RESERVE = 512 * 2**20

_POLL_SECONDS = 0.05
_UPLOAD = TransferConfig(max_request_concurrency=S3_CONNECTIONS)
# s3transfer sends the ETag (If-Match) only with ranged requests. So even a small object is
# requested as a range: an object that was replaced meanwhile is never mistaken for the old one.
_DOWNLOAD = TransferConfig(max_request_concurrency=S3_CONNECTIONS, multipart_threshold=1)

_S3_ERRORS = (BotoCoreError, ClientError, RetriesExceededError, S3UploadFailedError)

Item = TypeVar("Item")
Output = TypeVar("Output")


@dataclass(frozen=True)
class Bucket:
    """A bucket and the client with access to it."""

    name: str
    s3: S3Client


@dataclass(frozen=True)
class StoredObject:
    """An object in S3; size in bytes."""

    bucket: Bucket
    key: str
    size: int
    etag: str

    def __str__(self) -> str:
        return f"s3://{self.bucket.name}/{self.key}"


def head(bucket: Bucket, key: str, what: str) -> StoredObject:
    """Request an object's size and ETag.

    Args:
        bucket: Bucket of the object.
        key: Key of the object.
        what: Role of the object in the job, for the diagnosis: pipeline, data_file, image, output.

    Raises:
        JobFailedError: The object does not exist or is not accessible.
    """
    try:
        response = bucket.s3.head_object(Bucket=bucket.name, Key=key)
    except (BotoCoreError, ClientError) as error:
        raise JobFailedError(diagnose_s3(error, what, bucket.name, key)) from error
    return StoredObject(bucket, key, response["ContentLength"], response["ETag"])


def listing(bucket: Bucket, prefix: str, limit: int) -> Sequence[StoredObject]:
    """At most `limit` objects below a prefix that ends in /.

    Raises:
        JobFailedError: S3 could not list the objects.
    """
    objects: list[StoredObject] = []
    try:
        pages = bucket.s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket.name, Prefix=prefix):
            objects += [
                StoredObject(bucket, item["Key"], item["Size"], item["ETag"])
                for item in page.get("Contents", [])
            ]
            if len(objects) >= limit:
                break
    except (BotoCoreError, ClientError) as error:
        raise JobFailedError(diagnose_s3(error, "listing", bucket.name, prefix)) from error
    return objects[:limit]


def in_parallel(
    function: Callable[[Item], Output], items: Iterable[Item], check: Check
) -> list[Output]:
    """Call a function for every item, in parallel; returns the results in the items' order.

    Raises:
        Exception: The first exception of the function or of `check`; running calls are not awaited.
    """
    pool = ThreadPoolExecutor(S3_CONNECTIONS)
    try:
        futures = [pool.submit(function, item) for item in items]
        waiting = set(futures)
        while waiting:
            check()
            ended, waiting = wait(waiting, _POLL_SECONDS, FIRST_EXCEPTION)
            for future in ended:
                future.result()
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def download(what: str, files: Mapping[str, StoredObject], check: Check) -> None:
    """Download objects, and verify the ETag and size of each.

    Args:
        what: Role of the objects in the job, for the diagnosis: pipeline, data_file, image, input.
        files: Local path -> object.
        check: Raises when the job is interrupted.

    Raises:
        JobFailedError: An object does not exist, is not accessible or was replaced, or the disk is
            too small for all of them.
    """
    for folder in {os.path.dirname(path) for path in files}:
        os.makedirs(folder, exist_ok=True)
    if files:
        _check_space(os.path.dirname(next(iter(files))), sum(file.size for file in files.values()))
    by_client: dict[int, list[tuple[str, StoredObject]]] = {}
    for path, stored in files.items():
        by_client.setdefault(id(stored.bucket.s3), []).append((path, stored))
    for group in by_client.values():
        _download(what, group, check)
    for path, stored in files.items():
        if os.path.getsize(path) != stored.size:
            raise JobFailedError(replaced(str(stored)))


def _download(what: str, files: Sequence[tuple[str, StoredObject]], check: Check) -> None:
    ended: SimpleQueue[tuple[TransferFuture, str, str]] = SimpleQueue()
    with _managed(files[0][1].bucket.s3, _DOWNLOAD) as manager:
        for path, stored in files:
            name = stored.bucket.name
            subscribers = [_KnownSize(stored), _Completion(ended, name, stored.key)]
            manager.download(name, stored.key, path, subscribers=subscribers)
        _wait_for(len(files), ended, what, check)


def upload(
    bucket: Bucket,
    files: Sequence[tuple[str, str]],
    arguments: Mapping[str, object],
    check: Check,
) -> None:
    """Upload files: pairs of local path and key.

    Raises:
        JobFailedError: S3 rejects a file.
    """
    ended: SimpleQueue[tuple[TransferFuture, str, str]] = SimpleQueue()
    with _managed(bucket.s3, _UPLOAD) as manager:
        for path, key in files:
            subscribers = [_Completion(ended, bucket.name, key)]
            manager.upload(path, bucket.name, key, dict(arguments), subscribers)
        _wait_for(len(files), ended, "output", check)


class _KnownSize(BaseSubscriber):
    """Gives the manager the size and ETag, so that it need not request them from S3."""

    def __init__(self, stored: StoredObject) -> None:
        self._stored = stored

    def on_queued(self, future: TransferFuture, **_: Any) -> None:
        future.meta.provide_transfer_size(self._stored.size)
        future.meta.provide_object_etag(self._stored.etag)


class _Completion(BaseSubscriber):
    """Puts a transfer that has ended into the queue of the waiting thread."""

    def __init__(
        self, queue: SimpleQueue[tuple[TransferFuture, str, str]], bucket: str, key: str
    ) -> None:
        self._queue, self._bucket, self._key = queue, bucket, key

    def on_done(self, future: TransferFuture, **_: Any) -> None:
        self._queue.put((future, self._bucket, self._key))


@contextmanager
def _managed(s3: S3Client, config: TransferConfig) -> Iterator[TransferManager]:
    """A transfer manager that shuts down in the background after an exception.

    Its shutdown waits for pending requests: minutes, if S3 does not answer.
    """
    manager = TransferManager(s3, config)
    try:
        yield manager
    except BaseException:
        end = threading.Thread(target=manager.__exit__, args=sys.exc_info(), daemon=True)
        end.start()
        end.join(_POLL_SECONDS)
        raise
    manager.__exit__(None, None, None)


def _wait_for(
    count: int, ended: SimpleQueue[tuple[TransferFuture, str, str]], what: str, check: Check
) -> None:
    while count:
        check()
        try:
            future, bucket, key = ended.get(timeout=_POLL_SECONDS)
        except Empty:
            continue
        count -= 1
        try:
            future.result()
        except S3DownloadFailedError as error:  # the ETag has changed
            raise JobFailedError(replaced(f"s3://{bucket}/{key}")) from error
        except _S3_ERRORS as error:
            raise JobFailedError(diagnose_s3(error, what, bucket, key)) from error
        except OSError as error:
            doing = f"transferring s3://{bucket}/{key}"
            raise JobFailedError(diagnose_os(error, doing)) from error


def _check_space(folder: str, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE:
        raise JobFailedError(
            Diagnosis(
                "disk_full",
                f"The machine's disk has {free / 2**20:.0f} MB free, but the job's files need "
                f"{needed / 2**20:.0f} MB and CellProfiler another {RESERVE / 2**20:.0f} MB.",
                folder,
            )
        )


def replaced(where: str) -> Diagnosis:
    """The diagnosis for an object that was replaced after the job started."""
    return Diagnosis(
        "input_replaced",
        f"{where} was replaced while the worker read it.",
    )
