"""Checks that buckets and objects exist, and reads them. Only reads."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from blocks.errors import Problem
from tasks.aws.clients import unsigned
from tasks.aws.errors import is_missing, is_refused
from tasks.preflight.finding import Finding
from tasks.preflight.pipeline.input_folder import MOST_OBJECTS, InputFolder
from tasks.runs.run import Run

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MOST_TEXT = 50_000_000
"""Bytes to read of a pipeline or list of files; a larger file is neither."""


def client(run: Run, bucket: str) -> "S3Client":
    """The client for a bucket; like workers, it reads a public bucket without credentials."""
    return unsigned(run.aws.s3) if _public(run, bucket) else run.aws.s3


def _public(run: Run, bucket: str) -> bool:
    return run.config.no_sign_request and bucket == run.config.images_bucket


def check_buckets(run: Run) -> Iterator[Finding]:
    """Buckets that do not exist or cannot be accessed."""
    for bucket in run.config.buckets():
        keys = ("aws_bucket", "source_bucket", "workspace_bucket", "destination_bucket")
        key = next(key for key in keys if getattr(run.config, key) == bucket)
        refused = "these credentials have no access to the bucket"
        if _public(run, bucket):
            refused = "the bucket is not accessible without credentials (no_sign_request)"
        yield from _missing(
            partial(client(run, bucket).head_bucket, Bucket=bucket),
            "bucket",
            Problem("run config", key, "the bucket does not exist", got=bucket),
            Problem("run config", key, refused, bucket),
        )


def check_object(run: Run, where: str, key: str, value: str) -> Iterator[Finding]:
    """An object of the workspace that does not exist, cannot be read, or is empty.

    Args:
        run: The run.
        where: The job file's name.
        key: The key of the job file that names the object.
        value: The object's key.
    """
    bucket = run.config.workspace
    address = f"s3://{bucket}/{value}"
    sizes: list[int] = []

    def ask() -> None:
        answer = client(run, bucket).head_object(Bucket=bucket, Key=value)
        sizes.append(answer["ContentLength"])

    yield from _missing(
        ask,
        "object",
        Problem(
            where,
            key,
            "the object does not exist",
            got=address,
            remedy="A key is a path from the top of the bucket, without a leading slash.",
        ),
        Problem(where, key, "these credentials are not allowed to read the object", got=address),
    )
    if sizes == [0]:
        yield Finding("error", "object_empty", Problem(where, key, "the object is empty", address))


def _missing(
    ask: Callable[[], Any], kind: str, missing: Problem, refused: Problem
) -> Iterator[Finding]:
    try:
        ask()
    except ClientError as error:
        if is_refused(error):
            yield Finding("error", f"{kind}_refused", refused)
        elif is_missing(error):
            yield Finding("error", f"{kind}_missing", missing)
        else:
            raise


def denied_check(error: ClientError, action: str, resource: str) -> Finding:
    """A check that AWS denies; the run itself may not need the permission.

    Raises:
        ClientError: The error is not a denial.
    """
    if not is_refused(error):
        raise error
    what = f"could not be checked: these credentials lack {action}"
    return Finding("warning", "not_checked", Problem(f"s3://{resource}", "", what))


def read_object(run: Run, key: str, most: int = MOST_TEXT) -> bytes:
    """The first bytes of an object of the workspace."""
    bucket = run.config.workspace
    answer = client(run, bucket).get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{most - 1}")
    return answer["Body"].read()


def list_objects(s3: "S3Client", bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Key and bytes of every object below a prefix, sorted by key."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            yield item["Key"], item["Size"]


def input_folder(run: Run, prefix: str) -> InputFolder:
    """The files below a job's `input`, in the first bucket with any, in the workers' order."""
    prefix = "".join(f"{part}/" for part in prefix.split("/") if part)
    if not prefix:
        return InputFolder((), 0)
    for bucket in dict.fromkeys((run.config.workspace, run.config.images_bucket)):
        names, size = set(), 0
        for key, length in list_objects(client(run, bucket), bucket, prefix):
            if not key.endswith("/"):
                names.add(key[len(prefix) :])
                size += length
            if len(names) > MOST_OBJECTS:
                break
        if names:
            return InputFolder(names, size)
    return InputFolder((), 0)
