"""Fetches a job's inputs: pipeline, data file, images, default input folder."""

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
from dcp_worker.inputs.sources import cached
from dcp_worker.load_data import job_csv
from dcp_worker.load_data.group_match import CsvError
from dcp_worker.load_data.job_csv import Selection
from dcp_worker.load_data.local_paths import PathMapping, S3Object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from dcp_worker.common.cancellation import Check
    from dcp_worker.inputs.sources import Sources
    from dcp_worker.jobs.message import Job


@dataclass(frozen=True)
class InputVersions:
    """The versions of a job's inputs: two runs of a job with the same versions give equal results.

    Attributes:
        pipeline_etag: ETag of the pipeline or batch file.
        data_file_etag: ETag of the CSV or file list; empty with a batch file.
    """

    pipeline_etag: str
    data_file_etag: str


@dataclass(frozen=True)
class JobInputs:
    """A job's inputs on the machine.

    Attributes:
        pipeline: The pipeline or batch file.
        data_file: The CSV or file list, with local paths; None with a batch file.
        numbering: Set if the CSV holds only the group's rows (see `row_numbering.as_in_whole_csv`).
        whole_csv: Writes the whole CSV with local paths; set with `numbering`.
        folder: The default input folder.
        versions: The versions of the inputs.
    """

    pipeline: Path
    data_file: Path | None
    numbering: Path | None
    whole_csv: Callable[[], Path] | None
    folder: Path
    versions: InputVersions


def current_versions(job: Job, sources: Sources) -> InputVersions:
    """Get the ETags of a job's pipeline and data file without reading them.

    Raises:
        JobFailedError: One of them does not exist or is not accessible.
    """
    pipeline = s3_transfer.head(sources.workspace, job.pipeline, "pipeline")
    if _is_batch(job):
        return InputVersions(pipeline.etag, "")
    return InputVersions(
        pipeline.etag, s3_transfer.head(sources.workspace, job.data_file, "data_file").etag
    )


def fetch(
    job: Job,
    sources: Sources,
    versions: InputVersions,
    folder: Path,
    check: Check,
    say: Callable[[str], None],
) -> JobInputs:
    """Fetch a job's inputs to the machine. May run on a thread, beside other jobs.

    Args:
        job: The job.
        sources: The buckets and the cache.
        versions: Versions of the job's inputs.
        folder: An empty folder for the inputs.
        check: Raises when the job is interrupted.
        say: Writes a line to the job's log.

    Raises:
        JobFailedError: An object is missing or was replaced, the CSV has no row of the group, the
            pipeline is truncated, an image is broken, or the disk is too small.
    """
    check()
    pipeline = _pipeline(job, sources, versions, folder, check)
    default = folder / "input"
    default.mkdir()
    input_folder.fetch(job.input, sources, default, check, say)
    paths = _paths(sources, folder / "images")
    objects: Mapping[str, S3Object]
    with _csv_errors_diagnosed():
        if _is_batch(job):
            objects = batch_file.localize(pipeline, job.group, paths)
            inputs = JobInputs(pipeline, None, None, None, default, versions)
        else:
            original = folder / "data_file" / os.path.basename(job.data_file)
            selection = _select(job, sources, versions, pipeline, original, paths, check)
            objects = selection.images
            numbering = selection.numbering
            whole = partial(_whole_csv, original, paths, folder) if numbering else None
            inputs = JobInputs(pipeline, selection.data_file, numbering, whole, default, versions)
    images.fetch(objects, sources, check, say)
    return inputs


def _is_batch(job: Job) -> bool:
    return job.data_file.endswith(".h5")


def _pipeline(
    job: Job, sources: Sources, versions: InputVersions, folder: Path, check: Check
) -> Path:
    pipeline = folder / "pipeline" / os.path.basename(job.pipeline)
    pipeline.parent.mkdir()
    with cached(sources, "pipeline", job.pipeline, versions.pipeline_etag, check) as entry:
        # Copied, because the job changes its batch file.
        put = shutil.copyfile if _is_batch(job) else os.link
        put(entry / "content" / "file", pipeline)
    _check_whole(pipeline, job.pipeline)
    return pipeline


def _select(
    job: Job,
    sources: Sources,
    versions: InputVersions,
    pipeline: Path,
    original: Path,
    paths: PathMapping,
    check: Check,
) -> Selection:
    """Find the group's images; write the data file with local paths one folder above `original`."""
    etag = versions.data_file_etag
    local = original.parent.parent / original.name
    original.parent.mkdir()
    with cached(sources, "data_file", job.data_file, etag, check) as entry:
        os.link(entry / "content" / "file", original)
        if original.suffix == ".csv":
            index = entry / "index"
            return job_csv.select(original, etag, index, pipeline, job.group, paths, local, check)
    with (
        original.open(encoding="utf-8-sig", newline="") as source,
        local.open("w", encoding="utf-8", newline="") as target,
    ):
        files = job_csv.localize_list(source, target, paths)
    return Selection(0, files, local, None)


def _whole_csv(original: Path, paths: PathMapping, folder: Path) -> Path:
    target = folder / "whole" / original.name
    target.parent.mkdir(exist_ok=True)
    job_csv.write_whole(original, target, paths)
    return target


@contextmanager
def _csv_errors_diagnosed() -> Iterator[None]:
    try:
        yield
    except CsvError as error:
        raise JobFailedError(Diagnosis(error.code, str(error))) from error


def _paths(sources: Sources, folder: Path) -> PathMapping:
    return PathMapping(sources.source.name, str(folder), sources.mounted)


_MODULE_COUNT = re.compile(r"^ModuleCount:(\d+)", re.MULTILINE)
_MODULE = re.compile(r"^\w+:\[module_num:\d+", re.MULTILINE)


def _check_whole(pipeline: Path, key: str) -> None:
    """Reject a pipeline truncated between two modules, of which CellProfiler would run a part."""
    if pipeline.suffix != ".cppipe":
        return
    text = pipeline.read_text(encoding="utf-8", errors="replace")
    count = _MODULE_COUNT.search(text)
    modules = len(_MODULE.findall(text))
    if count is not None and modules < int(count.group(1)):
        raise JobFailedError(
            Diagnosis(
                "pipeline_broken",
                f"The pipeline {key} has only {modules} of its {count.group(1)} modules.",
            )
        )
