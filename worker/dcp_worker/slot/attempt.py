"""One attempt at a job, in three parts: fetch inputs, compute, publish outputs.

Each part may run on a different thread, while another job is in another part. No part uses a queue.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker.cellprofiler import command_line
from dcp_worker.diagnosis.diagnose import Evidence, JobFailedError, diagnose, diagnose_os
from dcp_worker.inputs import images, job_inputs
from dcp_worker.outputs import upload

if TYPE_CHECKING:
    from dcp_worker.common.cancellation import Check
    from dcp_worker.inputs.job_inputs import Inputs, Origin
    from dcp_worker.jobs.message import Job
    from dcp_worker.jobs.result_record import Figures
    from dcp_worker.outputs.upload import Written
    from dcp_worker.slot.context import Workplace

_REMOVAL_SECONDS = 1.0


@dataclass(frozen=True)
class Attempt:
    """One attempt: its job, its folder, and its measurements so far.

    If the job fails, each part raises `JobFailedError` with the diagnosis. If it is interrupted,
    each part raises the exception of `check`.
    """

    work: Workplace
    job: Job
    folder: Path
    figures: Figures
    say: Callable[[str], None]

    def prepare(self, origin: Origin, check: Check) -> Inputs:
        """Fetch the inputs into an emptied folder."""
        with self._timed("download"), _disk(self.folder):
            remove(self.folder)
            self.folder.mkdir(parents=True)
            return job_inputs.fetch(
                self.job, self.work.sources, origin, self.folder, check, self.say
            )

    def compute(self, job_inputs: Inputs, check: Check) -> Path:
        """Run CellProfiler and diagnose its run; returns the folder of its outputs."""
        with _disk(self.folder):
            call = self._call(job_inputs)
            call.output_folder.mkdir()
            temporary = self.folder / "tmp"
            temporary.mkdir()
            timeout = self.work.settings.job_timeout
            with self._timed("cellprofiler"):
                ended = self.work.engine.run(call, temporary, timeout, check, self.say)
            self.figures.peak_memory_mb = ended.peak_memory_mb
            diagnosis = diagnose(_evidence(ended, call))
            # With always_continue, a missing image does not show in the diagnosis.
            doubtful = diagnosis is not None or call.always_continue
            if doubtful and self.work.sources.mounted:
                images.check_mount()
        if diagnosis is not None:
            raise JobFailedError(diagnosis)
        return call.output_folder

    def publish(self, output: Path, check: Check) -> Written:
        """Upload the outputs to their final keys and confirm them."""
        settings = self.work.settings
        with self._timed("upload"), _disk(self.folder):
            written = upload.publish(
                self.work.clients.s3,
                output,
                settings.destination_bucket,
                self.job.output,
                settings.upload_arguments,
                check,
            )
        self.figures.files, self.figures.bytes = written.files, written.bytes
        return written

    def _call(self, job_inputs: Inputs) -> command_line.Call:
        return command_line.Call(
            pipeline=job_inputs.pipeline,
            data_file=job_inputs.data_file,
            group="" if self.job.data_file.endswith(".txt") else self.job.metadata,
            input_folder=job_inputs.folder,
            output_folder=self.folder / "output",
            # In this attempt's folder: the file of an earlier attempt must not count for this one.
            done_file=self.folder / "done",
            plugins=self.work.plugins,
            always_continue=self.work.settings.always_continue,
            numbering=job_inputs.numbering,
            whole_csv=job_inputs.whole_csv,
        )

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            setattr(self.figures, phase, time.monotonic() - started)


def _evidence(ended: command_line.Ended, call: command_line.Call) -> Evidence:
    return Evidence(
        exit_status=ended.exit_status,
        signal=ended.signal,
        timed_out=ended.timed_out,
        done=_first_line(call.done_file),
        log=ended.log,
        files=len(upload.files_below(call.output_folder)),
        seconds=ended.seconds,
    )


def _first_line(path: Path) -> str | None:
    if not path.exists():
        return None
    return path.read_text(errors="replace").partition("\n")[0]


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JobFailedError(diagnose_os(error, f"working in {folder}")) from error


def remove(folder: Path) -> None:
    """Remove a folder and its content, if it exists.

    It retries for a moment, because an aborted transfer may remove its own file at the same time.

    Raises:
        OSError: The folder could not be removed.
    """
    end = time.monotonic() + _REMOVAL_SECONDS
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
