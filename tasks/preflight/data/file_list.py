"""A list of files (.txt): a path or URL a line, for pipelines with the input modules."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from blocks.errors import Problem
from blocks.job_file.s3_keys import MOUNT
from tasks.preflight.data import images
from tasks.preflight.data.csv_index import Index, index_of
from tasks.preflight.data.csv_structure import SHOWN
from tasks.preflight.data.image_locations import NoPlace, Places
from tasks.preflight.finding import Finding

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def findings(
    lines: Iterable[str], where: str, bucket: str, client: "Callable[[str], S3Client]"
) -> Iterator[Finding]:
    """What is wrong with a list of files.

    Args:
        lines: Of the file.
        where: Its key.
        bucket: Of the images.
        client: The client for a bucket.
    """
    with index_of(["file"]) as index:
        wrong = list(_fill(index, lines, where, bucket))
        yield from wrong
        if not wrong:
            yield from images.findings(images.look(index.images(), client), where)


def _fill(index: Index, lines: Iterable[str], where: str, bucket: str) -> Iterator[Finding]:
    places = Places((), bucket)
    strange: list[int] = []
    relative: list[int] = []
    count = 0

    def wanted() -> Iterator[tuple[str, str, int]]:
        nonlocal count
        for line, path in enumerate((line.strip() for line in lines), start=1):
            if not path:
                continue
            count += 1
            try:
                place = places.of_path(path)
            except NoPlace:
                strange.append(line)
                continue
            if not path.startswith("/") and "://" not in path and not path.startswith("file:"):
                relative.append(line)
            if not isinstance(place, str):
                yield (*place, line)

    index.add_images(wanted())
    if not count:
        yield Finding("error", "list_empty", Problem(where, "", "the list of files is empty"))
    if strange:
        yield Finding(
            "error",
            "list_path",
            Problem(
                where,
                _lines(strange),
                "a file is named by a path that no machine of the run has",
                remedy=f"Begin it with {MOUNT}/, the top of the bucket of the images.",
            ),
        )
    if relative:
        yield Finding(
            "warning",
            "list_relative",
            Problem(
                where,
                _lines(relative),
                "a file is named by a relative path, which is taken from the top of the bucket",
                remedy=f"Begin it with {MOUNT}/.",
            ),
        )


def _lines(numbers: list[int]) -> str:
    more = len(numbers) - SHOWN
    text = f"line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:SHOWN]))}"
    return f"{text} and {more} more" if more > 0 else text
