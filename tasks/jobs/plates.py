"""Plates of a batch: which have data, which have results, and the name of each one's app.

A plate has data when its data file is in the workspace bucket. It has results when anything lies
where its jobs write, or when a run of it is on record, however that run ended: a plate that failed
is not begun again unless somebody names it.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from blocks import JobFile, RunConfig
from blocks.errors import JobFileError, Problem
from blocks.job_file.expand import PLATE_MARK, listed_groups, rule_of, shared_keys
from blocks.job_file.job_set import PLATE, FromCsv, JobSet
from blocks.job_file.metadata import joined, metadata_id
from blocks.resource_names import app_of
from tasks.jobs.csv_types import kind_of, reading
from tasks.runs import record
from tasks.runs.open_run import with_settings
from tasks.runs.run import Run

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OTHER = "another-plate"
"""A plate's name to see by whether a path depends on it."""


def waiting(with_data: Iterable[str], with_results: Collection[str]) -> tuple[str, ...]:
    """The plates that are to be run: those with data and without results, in their order."""
    return tuple(dict.fromkeys(plate for plate in with_data if plate not in with_results))


def pattern_of(data_file: str) -> re.Pattern[str]:
    """What the keys of all plates' data files look like; the group `plate` is the plate's name."""
    first, *rest = map(re.escape, data_file.split(PLATE_MARK))
    return re.compile(first + "(?P<plate>[^/]+)" + "(?P=plate)".join(rest))


def plates_in(keys: Iterable[str], data_file: str) -> list[str]:
    """The plates whose data file is among these keys.

    Args:
        keys: Keys of S3.
        data_file: The key of a plate's data file, with `{plate}` in it.
    """
    pattern = pattern_of(data_file)
    return [found["plate"] for key in keys if (found := pattern.fullmatch(key))]


def plates_named(job: JobFile) -> tuple[str, ...]:
    """The plates that a job file names itself, in `plates` or by its groups."""
    rule = rule_of(job)
    if job.plates or rule is not None:
        return tuple(job.plates or (rule.plates if rule else ()))
    groups = (dict(pairs) for pairs in listed_groups(job))
    return tuple(dict.fromkeys(group[PLATE] for group in groups if PLATE in group))


def names_in_outputs(jobs: JobSet, plate: str) -> tuple[str, ...]:
    """How a plate may be called in the path of its outputs.

    Groups that are made from a CSV have the values that CellProfiler reads: plate 002 may be 2.
    """
    if not isinstance(jobs.groups, FromCsv):
        return (plate,)
    return tuple(dict.fromkeys((plate, reading(plate, kind_of(plate)))))


def outputs_of(jobs: JobSet, plate: str) -> str:
    """The S3 prefix that the outputs of all jobs of a plate begin with.

    It ends where the output structure names another key than the plate.
    """
    pairs = tuple((key, plate if key == PLATE else "\0") for key in jobs.keys)
    folder = joined(jobs.output, metadata_id(pairs, jobs.output_structure)) + "/"
    return folder.partition("\0")[0]


def plates_with_data(run: Run, job: JobFile, where: str) -> list[str]:
    """The plates whose data file is in the workspace bucket, in the order of their names.

    Args:
        run: Names the bucket; need not have begun.
        job: The job file.
        where: Its name, for messages.

    Raises:
        JobFileError: The data file is not one a plate.
    """
    data_file = shared_keys(job)["data_file"]
    if PLATE_MARK not in data_file:
        raise JobFileError(
            Problem(
                where,
                "data_file",
                f"has no {PLATE_MARK}, so nobody can see which plates have data",
                got=repr(data_file),
                remedy=f"Name the plates to run, or write {PLATE_MARK} where the key has their "
                "names.",
            )
        )
    named = plates_named(job)
    found = plates_in(_keys(run.aws.s3, run.config.workspace, data_file), data_file)
    return [plate for plate in found if not named or plate in named]


def _keys(s3: "S3Client", bucket: str, data_file: str) -> Iterator[str]:
    """The keys that may be data files of plates."""
    start, _, end = data_file.partition(PLATE_MARK)
    # Where the plate is no folder, what lies in folders beside it need not be looked through.
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=start, Delimiter="" if "/" in end else "/"
    )
    return (item["Key"] for page in pages for item in page.get("Contents", []))


def plates_with_results(run: Run, job: JobFile, plates: Iterable[str], where: str) -> set[str]:
    """Those of the plates that have outputs, or had a run, alone or with others.

    Args:
        run: Names the app and the buckets; need not have begun.
        job: The job file.
        plates: The plates to look for.
        where: The job file's name, for messages.
    """
    on_record = plates_on_record(run)
    return {
        plate
        for plate in plates
        if plate in on_record
        or record.latest_id(run.aws, _own_config(run, plate))
        or _has_outputs(run, job, plate, where)
    }


def _has_outputs(run: Run, job: JobFile, plate: str, where: str) -> bool:
    shared = shared_keys(job)
    marked = PLATE_MARK in shared["output"] + shared["output_structure"]
    for jobs in job.sets((plate,), where):
        for name in names_in_outputs(jobs, plate):
            prefix = outputs_of(jobs, name)
            # Where the plate is no part of the path, what lies there may be another's.
            if marked or prefix != outputs_of(jobs, OTHER):
                found = run.aws.s3.list_objects_v2(
                    Bucket=run.config.outputs_bucket, Prefix=prefix, MaxKeys=1
                )
                if found.get("KeyCount"):
                    return True
    return False


def plates_on_record(run: Run) -> set[str]:
    """The plates of all runs of the app."""
    pages = run.aws.s3.get_paginator("list_objects_v2").paginate(
        Bucket=run.config.aws_bucket, Prefix=run.names.record_prefix, Delimiter="/"
    )
    found: set[str] = set()
    for page in pages:
        for folder in page.get("CommonPrefixes", []):
            run_id = folder["Prefix"].removeprefix(run.names.record_prefix).strip("/")
            kept = record.load(Run(run.config, run_id, run.aws))
            found.update(kept.plates if kept else ())
    return found


def settings_of(app: str, part: str) -> dict[str, str | None]:
    """The settings of an app of its own for a part (a plate, a step) of the work of another.

    Its queue is its own too, whatever the config says: two runs cannot share one.
    """
    return {"app_name": app_of(app, part), "sqs_queue_name": None}


def _own_config(run: Run, plate: str) -> RunConfig:
    return with_settings(run.config, settings_of(run.names.app, plate))


def plates_to_run(run: Run, job: JobFile, where: str) -> tuple[str, ...]:
    """The plates that have data but no results yet.

    Raises:
        JobFileError: The data file is not one a plate.
    """
    plates = plates_with_data(run, job, where)
    return waiting(plates, plates_with_results(run, job, plates, where))
