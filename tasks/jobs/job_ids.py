"""Sets of job ids, small enough in memory for millions, and read off the keys of S3 objects."""

import re
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Set
from itertools import chain
from typing import Any

from tasks.aws.concurrency import in_order
from tasks.runs.run import Run

JOB_ID = re.compile("[0-9a-f]{32}")
DIGITS = "0123456789abcdef"
WIDTH = 16  # bytes of an id
# With a delimiter, S3 answers with the keys up to it and nothing about the objects (API Reference,
# ListObjectsV2): a page is read in a sixteenth of the time.
AFTER_ID = "."


class JobIds(Set[str]):
    """An immutable set of job ids, 16 bytes each, where a frozenset takes about 130.

    The ids lie sorted in 256 parts, by their first byte. Each operation on two of them goes part by
    part, so that it takes no more memory than its outcome and a 256th of the ids as objects.
    """

    __slots__ = ("_count", "_parts")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        """Collect ids.

        Args:
            ids: Each of 32 lower-case hexadecimal digits, in any order.

        Raises:
            ValueError: One is not an id.
        """
        parts = [bytearray() for _ in range(256)]
        for job_id in ids:
            if not JOB_ID.fullmatch(job_id):
                raise ValueError(f"{job_id!r} is no job id")
            packed = bytes.fromhex(job_id)
            parts[packed[0]] += packed
        self._keep(_joined(set(_split(part))) for part in parts)

    def _keep(self, parts: Iterable[bytes]) -> None:
        self._parts = tuple(parts)
        self._count = sum(map(len, self._parts)) // WIDTH

    @classmethod
    def _of(cls, parts: Iterable[bytes]) -> "JobIds":
        made = cls.__new__(cls)
        made._keep(parts)
        return made

    def __contains__(self, job_id: object) -> bool:
        if not isinstance(job_id, str) or not JOB_ID.fullmatch(job_id):
            return False
        packed = bytes.fromhex(job_id)
        part = self._parts[packed[0]]
        place = bisect_left(
            range(len(part) // WIDTH), packed, key=lambda at: part[at * WIDTH : (at + 1) * WIDTH]
        )
        return part[place * WIDTH : (place + 1) * WIDTH] == packed

    def __iter__(self) -> Iterator[str]:
        """The ids, sorted."""
        return (packed.hex() for part in self._parts for packed in _split(part))

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<{len(self)} job ids>"

    def __and__(self, other: Set[Any]) -> "JobIds":
        if not isinstance(other, JobIds):
            return JobIds(job_id for job_id in self if job_id in other)
        return self._of(
            _joined(set(_split(one)).intersection(_split(two)))
            for one, two in zip(self._parts, other._parts, strict=True)
        )

    def __sub__(self, other: Set[Any]) -> "JobIds":
        if not isinstance(other, JobIds):
            return JobIds(job_id for job_id in self if job_id not in other)
        return self._of(
            _joined(set(_split(one)).difference(_split(two)))
            for one, two in zip(self._parts, other._parts, strict=True)
        )


def _split(part: bytes | bytearray) -> Iterator[bytes]:
    return (packed for (packed,) in struct.iter_unpack(f"{WIDTH}s", part))


def _joined(ids: set[bytes]) -> bytes:
    return b"".join(sorted(ids))


def listed(run: Run, prefix: str) -> JobIds:
    """The ids in the keys `<prefix><job id>.json` of `aws_bucket`; other keys are passed over.

    A page of a listing has 1000 keys. When that is not all, 16 listings go on at the same time, one
    for each first digit of an id.
    """
    pages = run.aws.s3.get_paginator("list_objects_v2")

    def below(digit: str) -> Iterator[Any]:
        beginning = f"{prefix}{digit}"
        yield from pages.paginate(
            Bucket=run.config.aws_bucket, Prefix=beginning, Delimiter=AFTER_ID
        )

    def ids(digit: str) -> JobIds:
        return JobIds(job_id for page in below(digit) for job_id in _ids(page, prefix))

    first = next(below(""))
    if not first["IsTruncated"]:
        return JobIds(_ids(first, prefix))
    return JobIds(chain.from_iterable(in_order(ids, DIGITS, len(DIGITS), "listing")))


def _ids(page: Any, prefix: str) -> Iterator[str]:
    for item in page.get("CommonPrefixes", []):
        name = item["Prefix"].removeprefix(prefix).removesuffix(AFTER_ID)
        if JOB_ID.fullmatch(name):
            yield name
