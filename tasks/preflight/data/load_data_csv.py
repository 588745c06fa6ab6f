"""One LoadData CSV with all its jobs: columns, rows, groups, images. Only reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from blocks.errors import InputError
from blocks.job_file.metadata import Pairs
from tasks.jobs.csv_types import reading
from tasks.jobs.load_data_csv import Csvs, LoadData
from tasks.preflight.data import csv_structure, groups, images
from tasks.preflight.data.csv_index import CsvIndex, new_index
from tasks.preflight.data.csv_structure import RowChecker, Unreadable
from tasks.preflight.data.image_locations import ImageLocator, NotInS3, image_columns
from tasks.preflight.finding import Finding

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BATCH = 5000


@dataclass
class CsvReport:
    """The result of checking a CSV.

    Attributes:
        findings: What is wrong with it.
        columns: Its columns; empty if they have errors.
        rows: The fewest and the most rows of a job; None if the CSV has errors.
        images: Number of images of the largest job.
        largest_job: Their size in bytes, estimated from the mean size of all images.
    """

    findings: list[Finding]
    columns: tuple[str, ...] = ()
    rows: tuple[int, int] | None = None
    images: int | None = None
    largest_job: int | None = None

    @property
    def broken(self) -> bool:
        """Whether any finding is an error."""
        return any(finding.level == "error" for finding in self.findings)


@dataclass(frozen=True)
class CsvTarget:
    """A CSV to check, with its jobs.

    Attributes:
        where: The job file's name.
        key: The key of the CSV.
        keys: The metadata keys of the jobs.
        groups: Returns the groups of all jobs of the CSV.
        made_from_csv: Whether the groups come from the CSV itself.
        bucket: The images' bucket.
        client: The client for a bucket.
    """

    where: str
    key: str
    keys: Sequence[str]
    groups: Callable[[], Iterator[Pairs]]
    made_from_csv: bool
    bucket: str
    client: "Callable[[str], S3Client]"


def check_csv(target: CsvTarget, csvs: Csvs) -> CsvReport:
    """Check a CSV and its jobs; stop after the first step that finds errors."""
    try:
        csv = csvs(target.key)
    except InputError as error:
        problems = (replace(problem, where=target.key) for problem in error.problems)
        return CsvReport([Finding("error", "csv_unreadable", problem) for problem in problems])
    result = CsvReport(list(_shape(csv, target)))
    if result.broken:
        return result
    result.columns = csv.columns
    with new_index(target.keys) as index:
        try:
            index.add_jobs(target.groups())
        except InputError as error:
            result.findings += [Finding("error", "groups_of_csv", p) for p in error.problems]
            return result
        result.findings += _fill(index, csv, target)
        result.findings += groups.findings(
            index, target.where, target.key, csv.kinds(target.keys), target.made_from_csv
        )
        result.rows = index.rows_of_jobs()
        if not result.broken:
            tally = images.check_images(index.images(), target.client)
            result.findings += images.findings(tally, target.key)
            result.images = result.rows[1] * len(image_columns(csv.columns))
            result.largest_job = round(result.images * tally.size / max(tally.checked, 1))
    return result


def _shape(csv: LoadData, target: CsvTarget) -> Iterator[Finding]:
    rows = RowChecker(target.key, len(csv.columns))
    try:
        with csv.path.open(encoding="utf-8-sig", newline="") as lines:
            records = csv_structure.read_rows(lines, target.key)
            first = [cells for _, cells in islice(records, 2)]
            lines.seek(0)
            records = csv_structure.read_rows(lines, target.key)
            next(records)
            for line, cells in records:
                rows.check(line, cells)
    except Unreadable as error:
        yield error.finding
        return
    yield from csv_structure.header_findings(csv.columns, first[-1], target.key, target.keys)
    yield from rows.findings()


def _fill(index: CsvIndex, csv: LoadData, target: CsvTarget) -> list[Finding]:
    """Put the groups of all rows and the images of the jobs' rows into the index."""
    rows = RowChecker(target.key, len(csv.columns), count=1)
    locator = ImageLocator(csv.columns, target.bucket)
    kinds = csv.kinds(target.keys)
    columns = [csv.column(key) for key in target.keys]
    read: Callable[[str, Any], str] = lru_cache(10_000)(reading)
    records = csv.rows()
    while batch := list(islice(records, _BATCH)):
        groups_of_rows, images_of_jobs = [], []
        for line, cells in batch:
            group = tuple(read(column.value(cells), kinds[column.name]) for column in columns)
            groups_of_rows.append(group)
            if not index.is_job(group):
                continue
            try:
                for place in locator.locate_row(cells):
                    if not isinstance(place, str):
                        images_of_jobs.append((*place, line))
            except NotInS3 as error:
                rows.record("csv_path", line, repr(str(error)))
            except ValueError:
                rows.record("csv_image_empty", line, "")
        index.add_rows(groups_of_rows)
        index.add_images(images_of_jobs)
    return list(rows.findings())
