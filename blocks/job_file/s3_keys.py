"""Checks of the S3 keys in a job file or message. Pure."""

from collections.abc import Callable
from pathlib import PurePosixPath

from blocks.errors import Refusal
from blocks.job_file.metadata import joined

DATA_FILES = (".csv", ".h5", ".txt")
"""A LoadData CSV, a batch file, a file list."""

MOUNT = "/home/ubuntu/bucket"
"""Mount point of the bucket of the images on a worker, as in Distributed-CellProfiler."""


def check_object_key(value: str) -> str:
    """The value, if it is a key within a bucket, not a local path or an address.

    Raises:
        Refusal: It is not a key.
    """
    if "://" in value:
        raise Refusal(
            "is an address", allowed="the key within the bucket", remedy="Remove s3://bucket/."
        )
    if value.startswith("/"):
        start = f"{MOUNT}/" if value.startswith(f"{MOUNT}/") else "/"
        raise Refusal(
            "begins with /", allowed="the key within the bucket", remedy=f"Remove {start}."
        )
    if value != value.strip():
        raise Refusal("has a space at the start or end", remedy=f"Write {value.strip()!r}.")
    check_printable(value)
    if value.strip("/"):
        joined(value)
    return value


def check_printable(value: str) -> str:
    """The value, if it has no line breaks or control characters, which a worker rejects.

    Raises:
        Refusal: It has some.
    """
    if value and not value.isprintable():
        raise Refusal("has a line break or control character")
    return value


def check_data_file(value: str) -> str:
    """The value, if it is empty or the key of a data file.

    Raises:
        Refusal: It is another type of file.
    """
    if value and PurePosixPath(value).suffix not in DATA_FILES:
        raise Refusal(
            "is not a data file",
            allowed="a LoadData CSV (.csv), a batch file (.h5) or a file list (.txt)",
        )
    return value


def ending(suffix: str) -> Callable[[str], str]:
    """A check that the name of a file, unless it is empty, has this suffix."""

    def check(value: str) -> str:
        if value and PurePosixPath(value).suffix != suffix:
            raise Refusal("has the wrong file type", allowed=f"a name that ends in {suffix}")
        return value

    return check
