"""What a job reads, brought to the machine: pipeline, data file, images, default input folder."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dcp_worker.common import s3_transfer
from dcp_worker.diagnosis.diagnose import Diagnosis, JobFailedError
from dcp_worker.inputs import batch_file, images, input_folder
from dcp_worker.inputs.sources import kept
from dcp_worker.load_data import job_csv
from dcp_worker.load_data.group_match import CsvError
from dcp_worker.load_data.job_csv import Selection
from dcp_worker.load_data.local_paths import Places, S3Object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from dcp_worker.common.cancellation import Check
    from dcp_worker.inputs.sources import Sources
    from dcp_worker.jobs.message import Job


@dataclass(frozen=True)
class Origin:
    """What a job is made from: two runs of a job with the same origin give the same.

    Attributes:
        pipeline_etag: Of the pipeline or batch file.
        data_file_etag: Of the CSV or list of files; empty with a batch file, which is the pipeline.
    """

    pipeline_etag: str
    data_file_etag: str


@dataclass(frozen=True)
class Inputs:
    """A job's inputs on the machine.

    Attributes:
        pipeline: The pipeline or batch file.
        data_file: The CSV or list of files, with local paths; None with a batch file.
        numbering: Beside a CSV that holds the group's rows only (see `row_numbering.applied`).
        whole_csv: Writes the whole CSV with local paths; given with `numbering`.
        folder: The default input folder.
        origin: What it all was made from.
    """

    pipeline: Path
    data_file: Path | None
    numbering: Path | None
    whole_csv: Callable[[], Path] | None
    folder: Path
    origin: Origin


def origin(job: Job, sources: Sources) -> Origin:
    """Look at a job's pipeline and data file without reading them.

    Raises:
        JobFailedError: One of them does not exist or cannot be had.
    """
    pipeline = s3_transfer.head(sources.workspace, job.pipeline, "pipeline")
    if _is_batch(job):
        return Origin(pipeline.etag, "")
    return Origin(
        pipeline.etag, s3_transfer.head(sources.workspace, job.data_file, "data_file").etag
    )


def fetch(
    job: Job,
    sources: Sources,
    origin: Origin,
    folder: Path,
    check: Check,
    say: Callable[[str], None],
) -> Inputs:
    """Bring what a job reads to the machine. It may run beside other jobs, on a thread.

    Args:
        job: The job.
        sources: The buckets and the cache.
        origin: Of the job.
        folder: An empty folder for it all.
        check: Raises when the job is interrupted.
        say: Takes a line for the job's log.

    Raises:
        JobFailedError: An object is missing or has been replaced, the CSV has no row of the group,
            the pipeline is cut off, an image is broken, the disk has no room.
    """
    check()
    pipeline = _pipeline(job, sources, origin, folder, check)
    default = folder / "input"
    default.mkdir()
    input_folder.fetch(job.input, sources, default, check, say)
    places = _places(sources, folder / "images")
    found: Mapping[str, S3Object]
    with _told_of_csv():
        if _is_batch(job):
            found = batch_file.localize(pipeline, job.group, places)
            made = Inputs(pipeline, None, None, None, default, origin)
        else:
            given = folder / "data_file" / os.path.basename(job.data_file)
            selection = _select(job, sources, origin, pipeline, given, places, check)
            found = selection.images
            numbering = selection.numbering
            whole = partial(_whole_csv, given, places, folder) if numbering else None
            made = Inputs(pipeline, selection.data_file, numbering, whole, default, origin)
    images.fetch(found, sources, check, say)
    return made


def _is_batch(job: Job) -> bool:
    return job.data_file.endswith(".h5")


def _pipeline(job: Job, sources: Sources, origin: Origin, folder: Path, check: Check) -> Path:
    pipeline = folder / "pipeline" / os.path.basename(job.pipeline)
    pipeline.parent.mkdir()
    with kept(sources, "pipeline", job.pipeline, origin.pipeline_etag, check) as entry:
        # A batch file is changed for the job.
        put = shutil.copyfile if _is_batch(job) else os.link
        put(entry / "content" / "file", pipeline)
    _check_whole(pipeline, job.pipeline)
    return pipeline


def _select(
    job: Job,
    sources: Sources,
    origin: Origin,
    pipeline: Path,
    given: Path,
    places: Places,
    check: Check,
) -> Selection:
    """The group's images, and the data file with local paths in the folder above the given one."""
    etag = origin.data_file_etag
    local = given.parent.parent / given.name
    given.parent.mkdir()
    with kept(sources, "data_file", job.data_file, etag, check) as entry:
        os.link(entry / "content" / "file", given)
        if given.suffix == ".csv":
            index = entry / "index"
            return job_csv.select(given, etag, index, pipeline, job.group, places, local, check)
    with (
        given.open(encoding="utf-8-sig", newline="") as source,
        local.open("w", encoding="utf-8", newline="") as target,
    ):
        files = job_csv.localize_list(source, target, places)
    return Selection(0, files, local, None)


def _whole_csv(given: Path, places: Places, folder: Path) -> Path:
    target = folder / "whole" / given.name
    target.parent.mkdir(exist_ok=True)
    job_csv.write_whole(given, target, places)
    return target


@contextmanager
def _told_of_csv() -> Iterator[None]:
    try:
        yield
    except CsvError as error:
        raise JobFailedError(Diagnosis(error.code, str(error))) from error


def _places(sources: Sources, folder: Path) -> Places:
    return Places(sources.source.name, str(folder), sources.mounted)


_MODULE_COUNT = re.compile(r"^ModuleCount:(\d+)", re.MULTILINE)
_MODULE = re.compile(r"^\w+:\[module_num:\d+", re.MULTILINE)


def _check_whole(pipeline: Path, key: str) -> None:
    """Refuse a pipeline that was cut off between two modules: CellProfiler runs its first part."""
    if pipeline.suffix != ".cppipe":
        return
    text = pipeline.read_text(encoding="utf-8", errors="replace")
    count = _MODULE_COUNT.search(text)
    found = len(_MODULE.findall(text))
    if count is not None and found < int(count.group(1)):
        raise JobFailedError(
            Diagnosis(
                "pipeline_broken",
                f"The pipeline {key} has {found} of the {count.group(1)} modules it should have.",
                "",
                "The file is cut off: save it again from CellProfiler.",
            )
        )
