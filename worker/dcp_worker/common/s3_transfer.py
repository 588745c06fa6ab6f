"""Objects to and from S3, many at a time, given up at once when the job is interrupted."""

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

# What CellProfiler, its temporary files and outputs find free after every download (bytes).
RESERVE = 512 * 2**20

_LOOK_SECONDS = 0.05
_UPLOAD = TransferConfig(max_request_concurrency=S3_CONNECTIONS)
# s3transfer asks for the ETag that it was given (If-Match) in ranged requests only, so even a small
# object is asked for as one range: what is replaced meanwhile is never taken for what it was.
_DOWNLOAD = TransferConfig(max_request_concurrency=S3_CONNECTIONS, multipart_threshold=1)

_OF_S3 = (BotoCoreError, ClientError, RetriesExceededError, S3UploadFailedError)

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Bucket:
    """A bucket and the client that may use it."""

    name: str
    s3: S3Client


@dataclass(frozen=True)
class Stored:
    """An object as S3 has it; size in bytes."""

    bucket: Bucket
    key: str
    size: int
    etag: str

    def __str__(self) -> str:
        return f"s3://{self.bucket.name}/{self.key}"


def head(bucket: Bucket, key: str, what: str) -> Stored:
    """Ask for an object's size and ETag.

    Args:
        bucket: Where it lies.
        key: Its key.
        what: What it is to the job, for the diagnosis: pipeline, data_file, image, output.

    Raises:
        JobFailedError: It does not exist or cannot be had.
    """
    try:
        found = bucket.s3.head_object(Bucket=bucket.name, Key=key)
    except (BotoCoreError, ClientError) as error:
        raise JobFailedError(diagnose_s3(error, what, bucket.name, key)) from error
    return Stored(bucket, key, found["ContentLength"], found["ETag"])


def listing(bucket: Bucket, prefix: str, limit: int) -> Sequence[Stored]:
    """At most `limit` objects below a prefix that ends in /.

    Raises:
        JobFailedError: S3 does not list them.
    """
    found: list[Stored] = []
    try:
        pages = bucket.s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket.name, Prefix=prefix):
            found += [
                Stored(bucket, item["Key"], item["Size"], item["ETag"])
                for item in page.get("Contents", [])
            ]
            if len(found) >= limit:
                break
    except (BotoCoreError, ClientError) as error:
        raise JobFailedError(diagnose_s3(error, "listing", bucket.name, prefix)) from error
    return found[:limit]


def each(function: Callable[[Item], Found], items: Iterable[Item], check: Check) -> list[Found]:
    """Call a function for every item, many at a time; the results in the items' order.

    Raises:
        Exception: The first that the function or `check` raises; calls that have begun are left to
            themselves.
    """
    pool = ThreadPoolExecutor(S3_CONNECTIONS)
    try:
        futures = [pool.submit(function, item) for item in items]
        waiting = set(futures)
        while waiting:
            check()
            ended, waiting = wait(waiting, _LOOK_SECONDS, FIRST_EXCEPTION)
            for future in ended:
                future.result()
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def download(what: str, files: Mapping[str, Stored], check: Check) -> None:
    """Download objects, each with the ETag and size that are known of it.

    Args:
        what: What they are to the job, for the diagnosis: pipeline, data_file, image, input.
        files: Local path -> object.
        check: Raises when the job is interrupted.

    Raises:
        JobFailedError: An object does not exist, cannot be had or has been replaced, or the disk
            has no room for them all.
    """
    for folder in {os.path.dirname(path) for path in files}:
        os.makedirs(folder, exist_ok=True)
    if files:
        _check_space(os.path.dirname(next(iter(files))), sum(file.size for file in files.values()))
    by_client: dict[int, list[tuple[str, Stored]]] = {}
    for path, stored in files.items():
        by_client.setdefault(id(stored.bucket.s3), []).append((path, stored))
    for group in by_client.values():
        _download(what, group, check)
    for path, stored in files.items():
        if os.path.getsize(path) != stored.size:
            raise JobFailedError(replaced(str(stored)))


def _download(what: str, files: Sequence[tuple[str, Stored]], check: Check) -> None:
    ended: SimpleQueue[tuple[TransferFuture, str, str]] = SimpleQueue()
    with _managed(files[0][1].bucket.s3, _DOWNLOAD) as manager:
        for path, stored in files:
            name = stored.bucket.name
            subscribers = [_Known(stored), _Ended(ended, name, stored.key)]
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
        JobFailedError: S3 does not take a file.
    """
    ended: SimpleQueue[tuple[TransferFuture, str, str]] = SimpleQueue()
    with _managed(bucket.s3, _UPLOAD) as manager:
        for path, key in files:
            subscribers = [_Ended(ended, bucket.name, key)]
            manager.upload(path, bucket.name, key, dict(arguments), subscribers)
        _wait_for(len(files), ended, "output", check)


class _Known(BaseSubscriber):
    """Tells the manager what it would ask S3 for."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def on_queued(self, future: TransferFuture, **_: Any) -> None:
        future.meta.provide_transfer_size(self._stored.size)
        future.meta.provide_object_etag(self._stored.etag)


class _Ended(BaseSubscriber):
    """Tells who waits that a transfer has ended."""

    def __init__(
        self, queue: SimpleQueue[tuple[TransferFuture, str, str]], bucket: str, key: str
    ) -> None:
        self._queue, self._bucket, self._key = queue, bucket, key

    def on_done(self, future: TransferFuture, **_: Any) -> None:
        self._queue.put((future, self._bucket, self._key))


@contextmanager
def _managed(s3: S3Client, config: TransferConfig) -> Iterator[TransferManager]:
    """A transfer manager; left with an exception, it is not waited for.

    Its own end waits for the requests under way, which may be minutes when S3 does not answer.
    """
    manager = TransferManager(s3, config)
    try:
        yield manager
    except BaseException:
        end = threading.Thread(target=manager.__exit__, args=sys.exc_info(), daemon=True)
        end.start()
        end.join(_LOOK_SECONDS)
        raise
    manager.__exit__(None, None, None)


def _wait_for(
    count: int, ended: SimpleQueue[tuple[TransferFuture, str, str]], what: str, check: Check
) -> None:
    while count:
        check()
        try:
            future, bucket, key = ended.get(timeout=_LOOK_SECONDS)
        except Empty:
            continue
        count -= 1
        try:
            future.result()
        except S3DownloadFailedError as error:  # the ETag is another one
            raise JobFailedError(replaced(f"s3://{bucket}/{key}")) from error
        except _OF_S3 as error:
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
                f"The machine's disk has {free / 2**20:.0f} MB free; the job's files need "
                f"{needed / 2**20:.0f} MB, and CellProfiler {RESERVE / 2**20:.0f} MB beside them.",
                folder,
                "Raise ebs_vol_size or lower the number of slots a machine.",
            )
        )


def replaced(where: str) -> Diagnosis:
    """An object is not the one any more that the job was begun with."""
    return Diagnosis(
        "input_replaced",
        f"{where} was replaced while it was being read.",
        "",
        "It is tried again, with the new one.",
    )
