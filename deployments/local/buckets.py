"""Folders of this computer as buckets: in before a run, out after it."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARALLEL = 8


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below a folder, with their paths below it as keys."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def make_bucket(s3: "S3Client", bucket: str, region: str) -> None:
    """Make a bucket where it is missing."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError:
        # us-east-1 is the one region that must not be named (S3 API Reference, CreateBucket).
        if region == "us-east-1":
            s3.create_bucket(Bucket=bucket)
        else:
            place: Any = {"LocationConstraint": region}
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)


def fill_bucket(s3: "S3Client", bucket: str, folder: Path) -> int:
    """Copy a folder into a bucket; returns the number of files."""
    files = list(files_of(folder))
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda file: s3.upload_file(str(file[1]), bucket, file[0]), files))
    return len(files)


def empty_into(s3: "S3Client", bucket: str, prefixes: Iterable[str], folder: Path) -> int:
    """Copy what lies below some prefixes of a bucket into a folder; returns the number of files."""
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
