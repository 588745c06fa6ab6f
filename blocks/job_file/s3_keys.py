"""The keys of S3 objects that a job file or message names. Pure."""

from collections.abc import Callable
from pathlib import PurePosixPath

from blocks.errors import Refusal
from blocks.job_file.metadata import joined

DATA_FILES = (".csv", ".h5", ".txt")
"""A LoadData CSV, a batch file, a list of files."""

MOUNT = "/home/ubuntu/bucket"
"""Where a worker has the bucket of the images, as in Distributed-CellProfiler."""


def check_object_key(value: str) -> str:
    """A key within a bucket, not a path of a machine or an address.

    Raises:
        Refusal: It is none.
    """
    if "://" in value:
        raise Refusal(
            "is an address", allowed="the key within the bucket", remedy="Leave out s3://bucket/."
        )
    if value.startswith("/"):
        start = f"{MOUNT}/" if value.startswith(f"{MOUNT}/") else "/"
        raise Refusal(
            "begins with /", allowed="the key within the bucket", remedy=f"Leave out {start}."
        )
    if value != value.strip():
        raise Refusal("has a space at an end", remedy=f"Write {value.strip()!r}.")
    check_printable(value)
    if value.strip("/"):
        joined(value)
    return value


def check_printable(value: str) -> str:
    """A part of keys: a worker takes no line breaks or control characters.

    Raises:
        Refusal: It has some.
    """
    if value and not value.isprintable():
        raise Refusal("has a line break or control character")
    return value


def check_data_file(value: str) -> str:
    """The key of a file that jobs are made from, or nothing.

    Raises:
        Refusal: It is another kind of file.
    """
    if value and PurePosixPath(value).suffix not in DATA_FILES:
        raise Refusal(
            "is no file that jobs are made from",
            allowed="a LoadData CSV (.csv), a batch file (.h5) or a list of files (.txt)",
        )
    return value


def ending(suffix: str) -> Callable[[str], str]:
    """A check that the name of a file, where one is given, ends so."""

    def check(value: str) -> str:
        if value and PurePosixPath(value).suffix != suffix:
            raise Refusal("is another kind of file", allowed=f"a name that ends in {suffix}")
        return value

    return check
