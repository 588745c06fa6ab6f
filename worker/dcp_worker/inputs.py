"""What a job reads, brought to the machine: pipeline, data file, images, default input folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker import load_data, transfer
from dcp_worker.diagnosis import Diagnosis, JobFailedError
from dcp_worker.group import CsvError
from dcp_worker.load_data import MOUNT, Places, S3Object

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from dcp_worker.interruption import Check
    from dcp_worker.message import Job

# Larger prefixes are images that the CSV names one by one, not files of a pipeline.
INPUT_OBJECTS = 1000
INPUT_BYTES = 2**30


@dataclass(frozen=True)
class Sources:
    """Where a job's inputs lie.

    Attributes:
        source: Bucket of the images.
        workspace: Bucket of pipeline, data file and input folder.
        mounted: The source bucket can be read as files below DCP's mount.
    """

    source: str
    workspace: str
    mounted: bool


@dataclass(frozen=True)
class Inputs:
    """A job's inputs on the machine; `data_file` is None with a batch file."""

    pipeline: Path
    data_file: Path | None
    folder: Path


def fetch(
    s3: S3Client,
    job: Job,
    sources: Sources,
    folder: Path,
    check: Check,
    say: Callable[[str], None],
) -> Inputs:
    """Download what a job reads.

    Args:
        s3: The client.
        job: The job.
        sources: The buckets.
        folder: An empty folder for it all.
        check: Raises when the job is interrupted.
        say: Takes a line for the job's log.

    Raises:
        JobFailedError: An object is missing, the CSV has no row of the group, the pipeline is cut
            off.
    """
    pipeline = folder / "pipeline" / os.path.basename(job.pipeline)
    given = folder / "data_file" / os.path.basename(job.data_file)
    batch = job.data_file.endswith(".h5")
    check()
    transfer.download(
        s3, "pipeline", {str(pipeline): S3Object(sources.workspace, job.pipeline)}, check
    )
    if not batch:
        transfer.download(
            s3, "data_file", {str(given): S3Object(sources.workspace, job.data_file)}, check
        )
    _check_whole(pipeline, job.pipeline)
    input_folder = folder / "input"
    input_folder.mkdir()
    fetch_input(s3, job.input, sources, input_folder, check, say)
    if batch:
        say("The batch file is used as it is: its images are read from where it says.")
        return Inputs(pipeline, None, input_folder)
    places = Places(sources.source, str(folder / "images"))
    local = folder / given.name
    try:
        images = _localize(given, local, pipeline, job, places, check)
    except CsvError as error:
        raise JobFailedError(Diagnosis(error.code, str(error), "", "", permanent=True)) from error
    if sources.mounted:
        _check_mounted(images)
        return Inputs(pipeline, given, input_folder)
    transfer.download(s3, "image", images, check)
    say(f"Downloaded {len(images)} images.")
    return Inputs(pipeline, local, input_folder)


def _localize(
    given: Path, local: Path, pipeline: Path, job: Job, places: Places, check: Check
) -> dict[str, S3Object]:
    """Write the data file with local paths; the images that it needs there."""
    if given.suffix == ".csv":
        index = local.parent / "index"
        found = load_data.select(given, "", index, pipeline, job.group, places, local, check)
        return dict(found.images)
    with (
        given.open(encoding="utf-8-sig", newline="") as source,
        local.open("w", encoding="utf-8", newline="") as target,
    ):
        return load_data.localize_list(source, target, places)


def _check_mounted(images: dict[str, S3Object]) -> None:
    missing = [place for place in images.values() if not os.path.exists(f"{MOUNT}/{place.key}")]
    if missing:
        raise JobFailedError(
            Diagnosis(
                "image_missing",
                f"{len(missing)} of {len(images)} images do not exist, the first is {missing[0]}.",
                "",
                "Correct the CSV, or copy the image there.",
                permanent=True,
            )
        )


def fetch_input(
    s3: S3Client,
    prefix: str,
    sources: Sources,
    folder: Path,
    check: Check,
    say: Callable[[str], None],
) -> None:
    """Download the objects below the job's `input`, from the first bucket that has any."""
    prefix = "".join(f"{part}/" for part in prefix.split("/") if part)
    if not prefix:
        return
    for bucket in dict.fromkeys((sources.workspace, sources.source)):
        listed = transfer.listing(s3, bucket, prefix, INPUT_OBJECTS + 1)
        # An object whose key ends in / is what consoles show as an empty folder.
        found = [(key, size) for key, size in listed if not key.endswith("/")]
        if not found:
            continue
        if len(found) > INPUT_OBJECTS or sum(size for _, size in found) > INPUT_BYTES:
            say(
                f"s3://{bucket}/{prefix} holds more than {INPUT_OBJECTS} objects or 1 GB: the "
                "default input folder stays empty."
            )
            return
        files = {
            # A key with .. in it stays below the folder.
            f"{folder}{os.path.normpath('/' + key[len(prefix) :])}": S3Object(bucket, key)
            for key, _ in found
        }
        transfer.download(s3, "input", files, check)
        return


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
                permanent=True,
            )
        )
