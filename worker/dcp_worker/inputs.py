"""What a job reads, brought to the machine: pipeline, data file, images, default input folder."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dcp_worker import images, load_data, transfer
from dcp_worker.cache import Cache
from dcp_worker.diagnosis import Diagnosis, JobFailedError
from dcp_worker.group import CsvError
from dcp_worker.load_data import MOUNT, Places, S3Object, Selection
from dcp_worker.transfer import Bucket, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from dcp_worker.aws import Clients
    from dcp_worker.interruption import Check
    from dcp_worker.message import Job
    from dcp_worker.settings import Settings

# Larger prefixes are images that the CSV names one by one, not files of a pipeline.
INPUT_OBJECTS = 1000
INPUT_BYTES = 2**30


@dataclass(frozen=True)
class Sources:
    """Where the inputs of all jobs lie.

    Attributes:
        source: Bucket of the images.
        workspace: Bucket of pipeline, data file and input folder.
        mounted: The source bucket can be read as files below DCP's mount.
        cache: Of the machine.
    """

    source: Bucket
    workspace: Bucket
    mounted: bool
    cache: Cache

    @classmethod
    def of(cls, settings: Settings, clients: Clients, cache_folder: Path, mounted: bool) -> Sources:
        """Of a worker; a public source bucket is read without credentials."""
        s3 = clients.anonymous_s3 if settings.unsigned else clients.s3
        source = Bucket(settings.source_bucket, s3)
        same = settings.workspace_bucket == settings.source_bucket
        workspace = source if same else Bucket(settings.workspace_bucket, clients.s3)
        return cls(source, workspace, mounted, Cache(cache_folder))

    def bucket(self, name: str) -> Bucket:
        """A bucket that a CSV names: any but the workspace is read as the source is."""
        return self.workspace if name == self.workspace.name else Bucket(name, self.source.s3)


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
        numbering: Beside a CSV that holds the group's rows only (see `numbering.applied`).
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
    pipeline = transfer.head(sources.workspace, job.pipeline, "pipeline")
    if _is_batch(job):
        return Origin(pipeline.etag, "")
    return Origin(pipeline.etag, transfer.head(sources.workspace, job.data_file, "data_file").etag)


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
    pipeline = folder / "pipeline" / os.path.basename(job.pipeline)
    with _kept(sources, "pipeline", job.pipeline, origin.pipeline_etag, pipeline, check):
        _check_whole(pipeline, job.pipeline)
    input_folder = folder / "input"
    input_folder.mkdir()
    fetch_input(job.input, sources, input_folder, check, say)
    if _is_batch(job):
        say("The batch file is used as it is: its images are read from where it says.")
        return Inputs(pipeline, None, None, None, input_folder, origin)
    places = _places(sources, folder / "images")
    given = folder / "data_file" / os.path.basename(job.data_file)
    with (
        _kept(sources, "data_file", job.data_file, origin.data_file_etag, given, check) as entry,
        _told_of_csv(),
    ):
        selection = _select(job, origin, pipeline, given, entry / "index", places, check)
    images.fetch(selection.images, sources, check, say)
    return Inputs(
        pipeline,
        selection.data_file,
        selection.numbering,
        None if selection.numbering is None else partial(_whole_csv, given, places, folder),
        input_folder,
        origin,
    )


def _is_batch(job: Job) -> bool:
    return job.data_file.endswith(".h5")


def _select(
    job: Job,
    origin: Origin,
    pipeline: Path,
    given: Path,
    index: Path,
    places: Places,
    check: Check,
) -> Selection:
    """The group's images, and the data file with local paths in the folder above the given one."""
    local = given.parent.parent / given.name
    if given.suffix == ".csv":
        etag = origin.data_file_etag
        return load_data.select(given, etag, index, pipeline, job.group, places, local, check)
    with (
        given.open(encoding="utf-8-sig", newline="") as source,
        local.open("w", encoding="utf-8", newline="") as target,
    ):
        files = load_data.localize_list(source, target, places)
    return Selection(0, files, local, None)


def _whole_csv(given: Path, places: Places, folder: Path) -> Path:
    target = folder / "whole" / given.name
    target.parent.mkdir(exist_ok=True)
    load_data.write_whole(given, target, places)
    return target


@contextmanager
def _told_of_csv() -> Iterator[None]:
    try:
        yield
    except CsvError as error:
        raise JobFailedError(Diagnosis(error.code, str(error), "", "", permanent=True)) from error


class _MountedPlaces(Places):
    """The images of the source bucket stay where they are mounted."""

    def __init__(self, source: str, folder: str) -> None:
        super().__init__(source, folder)
        self._source = source

    def local(self, place: S3Object) -> str:
        mounted = place.bucket == self._source
        return f"{MOUNT}/{place.key}" if mounted else super().local(place)


def _places(sources: Sources, folder: Path) -> Places:
    kind = _MountedPlaces if sources.mounted else Places
    return kind(sources.source.name, str(folder))


@contextmanager
def _kept(
    sources: Sources, what: str, key: str, etag: str, local: Path, check: Check
) -> Iterator[Path]:
    """A file of the workspace, from the machine's cache, at its local path.

    Yields:
        The folder of its cache entry.
    """
    bucket = sources.workspace

    def fill(folder: Path) -> None:
        stored = transfer.head(bucket, key, what)
        if stored.etag != etag:
            raise JobFailedError(transfer.replaced(str(stored)))
        transfer.download(what, {str(folder / "file"): stored}, check)

    with sources.cache.entry((bucket.name, key, etag), fill, check) as entry:
        local.parent.mkdir(parents=True, exist_ok=True)
        os.link(entry / "content" / "file", local)
        yield entry


def fetch_input(
    prefix: str,
    sources: Sources,
    folder: Path,
    check: Check,
    say: Callable[[str], None],
) -> None:
    """Bring the objects below the job's `input`, from the first bucket that has any."""
    prefix = "".join(f"{part}/" for part in prefix.split("/") if part)
    if not prefix:
        return
    for bucket in dict.fromkeys((sources.workspace, sources.source)):
        listed = transfer.listing(bucket, prefix, INPUT_OBJECTS + 1)
        # An object whose key ends in / is what consoles show as an empty folder.
        found = [stored for stored in listed if not stored.key.endswith("/")]
        if not found:
            continue
        if len(found) > INPUT_OBJECTS or sum(stored.size for stored in found) > INPUT_BYTES:
            say(
                f"s3://{bucket.name}/{prefix} holds more than {INPUT_OBJECTS} objects or 1 GB: the "
                "default input folder stays empty."
            )
            return
        identity = [bucket.name, prefix, *(part for at in found for part in (at.key, at.etag))]
        fill = partial(_fill_input, found, prefix, check)
        with sources.cache.entry(identity, fill, check) as entry:
            # Copied, not linked: a pipeline may write over what it finds there.
            shutil.copytree(entry / "content", folder, dirs_exist_ok=True)
        return


def _fill_input(found: Sequence[Stored], prefix: str, check: Check, folder: Path) -> None:
    files = {
        # A key with .. in it stays below the folder.
        f"{folder}{os.path.normpath('/' + stored.key[len(prefix) :])}": stored
        for stored in found
    }
    transfer.download("input", files, check)


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
