"""Copies local folders into buckets before a run, and outputs back after it."""

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from blocks.errors import NotFound, Problem
from deployments.local.emulator.core.settings import ACCOUNT_ID
from tasks.account.bucket_policies import EXPORTS
from tasks.account.policy_statements import document

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARALLEL = 8
MAX_KEY_BYTES = 1024


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below a folder by key, which is the relative path; links are followed.

    Raises:
        NotFound: A folder or file cannot be read, or its name is not a valid key.
    """
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_unreadable):
        here = Path(parent).resolve()
        # A link to one of its own parent folders would be followed forever.
        folders[:] = [
            name for name in sorted(folders) if not here.is_relative_to((here / name).resolve())
        ]
        for path in sorted(Path(parent, name) for name in names):
            if path.is_file():
                yield _key(path.relative_to(folder)), path


def _unreadable(error: OSError) -> None:
    raise NotFound(
        Problem(str(error.filename), "--data", f"cannot be read ({error.strerror or error})")
    ) from error


def _key(path: Path) -> str:
    key = path.as_posix()
    # Names are bytes to the file system; S3's keys are UTF-8 of at most 1,024 bytes.
    name = os.fsencode(key)
    if len(name) > MAX_KEY_BYTES or name.decode(errors="replace") != key:
        shown = name.decode(errors="replace")
        raise NotFound(
            Problem(
                shown,
                "--data",
                "is not a valid S3 key",
                allowed=f"UTF-8, at most {MAX_KEY_BYTES} bytes",
                remedy="Rename the file.",
            )
        )
    return key


def make_bucket(s3: "S3Client", bucket: str, region: str) -> None:
    """Create a bucket if it is missing, with a policy that allows log exports."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError:
        # us-east-1 is the only region that must not be named (S3 API Reference, CreateBucket).
        if region == "us-east-1":
            s3.create_bucket(Bucket=bucket)
        else:
            place: Any = {"LocationConstraint": region}
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(_export_policy(bucket, region)))


def _export_policy(bucket: str, region: str) -> dict[str, Any]:
    places = {"partition": "aws", "region": region, "account": ACCOUNT_ID, "bucket": bucket}
    return document(
        EXPORTS, {name: (value,) for name, value in (places | {"label": "Local"}).items()}
    )


def fill_bucket(s3: "S3Client", bucket: str, folder: Path) -> int:
    """Copy a folder into a bucket; returns the number of files.

    Raises:
        NotFound: A file or folder in it cannot be read.
    """
    files = list(files_of(folder))

    def send(file: tuple[str, Path]) -> None:
        key, path = file
        try:
            s3.upload_file(str(path), bucket, key)
        except OSError as error:
            _unreadable(error)

    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(send, files))
    return len(files)


def empty_into(s3: "S3Client", bucket: str, prefixes: Iterable[str], folder: Path) -> int:
    """Copy objects with some prefixes from a bucket to a folder; returns the number of files."""
    keys = {
        item["Key"]
        for prefix in prefixes
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for item in page.get("Contents", [])
    }

    def fetch(key: str) -> None:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, key, str(path))

    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(fetch, sorted(keys)))
    return len(keys)
