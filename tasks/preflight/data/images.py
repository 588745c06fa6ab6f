"""Checks that the images that a CSV names are in their buckets and not empty.

The sorted keys of the CSV are merged with sorted listings of a thousand keys per request. A listing
skips other keys, so a few images in a large folder take a few requests, and a plate takes one for
each thousand images.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from blocks.errors import Problem
from tasks.aws.errors import error_code, is_refused
from tasks.preflight.data.csv_index import ImageReference
from tasks.preflight.finding import Finding

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAMED = 5
"""Number of images that a finding names."""

BATCH = 10_000
"""Keys of a folder that one thread checks."""

PARALLEL = 16
"""Batches that are checked at a time."""

_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects cannot be read until they are restored."""


@dataclass(frozen=True)
class ListedObject:
    """An object of a listing; `size` in bytes."""

    key: str
    size: int
    storage_class: str = "STANDARD"


ListPage = Callable[[str], tuple[Sequence[ListedObject], bool]]
"""The objects after a key, in order, up to a thousand, and whether there are more."""


@dataclass
class Tally:
    """Counts images with a flaw and keeps the first ones.

    Attributes:
        checked: Number of images checked.
        size: Total size of the existing images, in bytes.
        flaws: Code -> count and the first images.
    """

    checked: int = 0
    size: int = 0
    flaws: dict[str, tuple[int, list[ImageReference]]] = field(default_factory=dict)

    def note(self, code: str, image: ImageReference) -> None:
        """Count an image."""
        count, first = self.flaws.get(code, (0, []))
        self.flaws[code] = (count + 1, first if len(first) >= NAMED else [*first, image])

    def add(self, other: "Tally") -> None:
        """Add another tally to this one."""
        self.checked += other.checked
        self.size += other.size
        for code, (count, first) in other.flaws.items():
            own_count, own_first = self.flaws.get(code, (0, []))
            self.flaws[code] = (own_count + count, [*own_first, *first][:NAMED])


def compare(wanted: Sequence[ImageReference], page: ListPage) -> Tally:
    """Search a sorted listing for objects. Pure but for the pages that it requests.

    Args:
        wanted: The objects, sorted by the UTF-8 bytes of their keys.
        page: The listing.
    """
    tally = Tally(checked=len(wanted))
    at, more, after = 0, True, ""
    while at < len(wanted):
        if not more:
            tally.note("image_missing", wanted[at])
            at += 1
            continue
        # Skip all keys before the next wanted one.
        jump = wanted[at].key[:-1]
        after = jump if _bytes(jump) > _bytes(after) else after
        listed, more = page(after)
        more = more and bool(listed)
        by_key = {item.key: item for item in listed}
        last = listed[-1].key if listed else ""
        while at < len(wanted) and (not more or _bytes(wanted[at].key) <= _bytes(last)):
            item = by_key.get(wanted[at].key)
            tally.size += item.size if item else 0
            if flaw := _flaw(item):
                tally.note(flaw, wanted[at])
            at += 1
        after = last
    return tally


def _flaw(listed: ListedObject | None) -> str:
    if listed is None:
        return "image_missing"
    if listed.size == 0:
        return "image_empty"
    return "image_archived" if listed.storage_class in _ARCHIVED else ""


def _bytes(key: str) -> bytes:
    return key.encode()


def folder_batches(wanted: Iterable[ImageReference]) -> Iterator[list[ImageReference]]:
    """Sorted keys in batches of one folder each."""
    folders = groupby(wanted, lambda image: (image.bucket, _folder(image.key)))
    for _, images in folders:
        while batch := list(islice(images, BATCH)):
            yield batch


def _folder(key: str) -> str:
    return key[: key.rfind("/") + 1]


def check_images(wanted: Iterable[ImageReference], client: Callable[[str], "S3Client"]) -> Tally:
    """Check images, several folders at a time.

    Args:
        wanted: The images, sorted by bucket and key.
        client: The client for a bucket.

    Raises:
        ClientError: AWS returns an error that is not about the images.
    """
    tally = Tally()
    waiting: list[Future[Tally]] = []
    with ThreadPoolExecutor(PARALLEL) as pool:
        for batch in folder_batches(wanted):
            page = _pages(client(batch[0].bucket), batch[0].bucket, _folder(batch[0].key))
            waiting.append(pool.submit(_compare, batch, page))
            # Limits the number of batches in memory.
            if len(waiting) >= 2 * PARALLEL:
                tally.add(waiting.pop(0).result())
        for future in waiting:
            tally.add(future.result())
    return tally


def _compare(batch: Sequence[ImageReference], page: ListPage) -> Tally:
    try:
        return compare(batch, page)
    except ClientError as error:
        if is_refused(error):
            code = "not_checked"
        elif error_code(error) == "NoSuchBucket":
            code = "bucket_missing"
        else:
            raise
        tally = Tally(checked=len(batch))
        for image in batch:
            tally.note(code, image)
        return tally


def _pages(s3: "S3Client", bucket: str, prefix: str) -> ListPage:
    def page(after: str) -> tuple[Sequence[ListedObject], bool]:
        start: Any = {"StartAfter": after} if after else {}
        answer = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, **start)
        listed = [
            ListedObject(item["Key"], item["Size"], item.get("StorageClass", "STANDARD"))
            for item in answer.get("Contents", [])
        ]
        return listed, answer["IsTruncated"]

    return page


def findings(tally: Tally, data_file: str) -> Iterator[Finding]:
    """What is wrong with the images of a CSV. Pure."""
    for code, (count, first) in sorted(tally.flaws.items()):
        what, remedy = _WORDS[code]
        yield Finding(
            "warning" if code == "not_checked" else "error",
            code,
            Problem(
                data_file,
                f"line {first[0].line}",
                f"{count} of {tally.checked} images {what}",
                got=", ".join(f"s3://{image.bucket}/{image.key}" for image in first),
                remedy=remedy,
            ),
        )


_WORDS = {
    "image_missing": (
        "are not in the bucket",
        "Compare folder, name, case and extension with the bucket; correct the CSV, or upload the "
        "images.",
    ),
    "bucket_missing": ("are in a bucket that does not exist", "Correct the paths."),
    "not_checked": (
        "could not be checked: these credentials are not allowed to list the bucket "
        "(s3:ListBucket)",
        "Request the permission, or check yourself that the images exist.",
    ),
    "image_empty": ("are empty", "Copy them again from the microscope."),
    "image_archived": (
        "are archived and cannot be read",
        "Restore them, or copy them to another storage class.",
    ),
}
