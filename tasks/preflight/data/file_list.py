"""A list of files (.txt): one path or URL per line, for pipelines with the input modules."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from blocks.errors import Problem
from blocks.job_file.s3_keys import MOUNT
from tasks.preflight.data import images
from tasks.preflight.data.csv_index import CsvIndex, new_index
from tasks.preflight.data.csv_structure import SHOWN
from tasks.preflight.data.image_locations import ImageLocator, NotInS3
from tasks.preflight.finding import Finding

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def findings(
    lines: Iterable[str], where: str, bucket: str, client: "Callable[[str], S3Client]"
) -> Iterator[Finding]:
    """What is wrong with a list of files.

    Args:
        lines: The lines of the file.
        where: Its key.
        bucket: The images' bucket.
        client: The client for a bucket.
    """
    with new_index(["file"]) as index:
        problems = list(_fill(index, lines, where, bucket))
        yield from problems
        if not problems:
            yield from images.findings(images.check_images(index.images(), client), where)


def _fill(index: CsvIndex, lines: Iterable[str], where: str, bucket: str) -> Iterator[Finding]:
    locator = ImageLocator((), bucket)
    foreign: list[int] = []
    relative: list[int] = []
    count = 0

    def wanted() -> Iterator[tuple[str, str, int]]:
        nonlocal count
        for line, path in enumerate((line.strip() for line in lines), start=1):
            if not path:
                continue
            count += 1
            try:
                place = locator.locate(path)
            except NotInS3:
                foreign.append(line)
                continue
            if not path.startswith("/") and "://" not in path and not path.startswith("file:"):
                relative.append(line)
            if not isinstance(place, str):
                yield (*place, line)

    index.add_images(wanted())
    if not count:
        yield Finding("error", "list_empty", Problem(where, "", "the list of files is empty"))
    if foreign:
        yield Finding(
            "error",
            "list_path",
            Problem(
                where,
                _lines(foreign),
                "the file's path does not exist on the machines of the run",
                remedy=f"Start it with {MOUNT}/, which is the top of the images' bucket.",
            ),
        )
    if relative:
        yield Finding(
            "warning",
            "list_relative",
            Problem(
                where,
                _lines(relative),
                "the file's path is relative; it starts at the top of the bucket",
                remedy=f"Start it with {MOUNT}/.",
            ),
        )


def _lines(numbers: list[int]) -> str:
    more = len(numbers) - SHOWN
    text = f"line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:SHOWN]))}"
    return f"{text} and {more} more" if more > 0 else text
