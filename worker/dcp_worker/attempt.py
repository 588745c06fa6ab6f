"""One attempt at a job, from its inputs to its confirmed outputs. It touches no queue."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker import cellprofiler, inputs, outputs
from dcp_worker.diagnosis import Evidence, JobFailedError, diagnose, diagnose_os

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from dcp_worker.inputs import Sources
    from dcp_worker.interruption import Check
    from dcp_worker.message import Job
    from dcp_worker.record import Figures
    from dcp_worker.settings import Settings


@dataclass(frozen=True)
class Bench:
    """Where and with what a slot works.

    Attributes:
        settings: The worker's.
        s3: The client.
        folder: The slot's own folder; emptied before and after every job.
        sources: Buckets of the inputs.
        plugins: Plugins directory, if any.
    """

    settings: Settings
    s3: S3Client
    folder: Path
    sources: Sources
    plugins: Path | None


def perform(
    bench: Bench, job: Job, figures: Figures, check: Check, say: Callable[[str], None]
) -> None:
    """Do a job: download, run CellProfiler, upload.

    Outputs go to their final keys only after CellProfiler has succeeded, and local files are gone
    afterwards, whatever happens.

    Args:
        bench: The slot's.
        job: What to do.
        figures: Filled on the way, so that a failed attempt has its times too.
        check: Raises when the attempt is interrupted.
        say: Takes the lines of the job's log.

    Raises:
        JobFailedError: The job failed; the diagnosis says why.
        InterruptedJobError: As `check` does.
    """
    settings = bench.settings
    try:
        with _emptied(bench.folder) as folder:
            with _timed(figures, "download"):
                found = inputs.fetch(bench.s3, job, bench.sources, folder, check, say)
            output = _run(bench, job, found, figures, check, say)
            check()
            with _timed(figures, "upload"):
                written = outputs.publish(
                    bench.s3,
                    output,
                    settings.destination_bucket,
                    job.output,
                    settings.upload_arguments,
                    check,
                )
            figures.files, figures.bytes = written.files, written.bytes
    except OSError as error:
        raise JobFailedError(diagnose_os(error, f"working in {bench.folder}")) from error


def _run(
    bench: Bench,
    job: Job,
    found: inputs.Inputs,
    figures: Figures,
    check: Check,
    say: Callable[[str], None],
) -> Path:
    """Run CellProfiler and judge it; the folder of its outputs."""
    output, temporary = bench.folder / "output", bench.folder / "tmp"
    done_file = bench.folder / "done"
    output.mkdir()
    temporary.mkdir()
    call = cellprofiler.Call(
        pipeline=found.pipeline,
        data_file=found.data_file,
        group="" if job.data_file.endswith(".txt") else job.metadata,
        input_folder=found.folder,
        output_folder=output,
        done_file=done_file,
        plugins=bench.plugins,
        always_continue=bench.settings.always_continue,
    )
    with _timed(figures, "cellprofiler"):
        ended = cellprofiler.run(call, temporary, bench.settings.job_timeout, check, say)
    figures.peak_memory_mb = ended.peak_memory_mb
    diagnosis = diagnose(
        Evidence(
            exit_status=ended.exit_status,
            signal=ended.signal,
            timed_out=ended.timed_out,
            done=_first_line(done_file),
            log=ended.log,
            files=len(outputs.files_below(output)),
            seconds=ended.seconds,
        )
    )
    if diagnosis is not None:
        raise JobFailedError(diagnosis)
    return output


def _first_line(path: Path) -> str | None:
    if not path.exists():
        return None
    return path.read_text(errors="replace").partition("\n")[0]


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """The folder, empty; and gone at the end."""
    remove(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _timed(figures: Figures, phase: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        setattr(figures, phase, time.monotonic() - started)
