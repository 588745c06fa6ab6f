"""One attempt at a job, in three parts: fetch inputs, compute, publish outputs.

Each part may run on a different thread, while another job is in another part. No part uses a queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker.cellprofiler import command_line
from dcp_worker.common.folders import remove_folder
from dcp_worker.diagnosis.diagnose import Evidence, JobFailedError, diagnose, diagnose_os
from dcp_worker.inputs import images, job_inputs
from dcp_worker.outputs import upload

if TYPE_CHECKING:
    from dcp_worker.common.cancellation import Check
    from dcp_worker.inputs.job_inputs import InputVersions, JobInputs
    from dcp_worker.jobs.message import Job
    from dcp_worker.jobs.result_record import Measurements
    from dcp_worker.outputs.upload import UploadedFiles
    from dcp_worker.slot.context import SlotContext


@dataclass(frozen=True)
class Attempt:
    """One attempt: its job, its folder, and its measurements so far.

    If the job fails, each part raises `JobFailedError` with the diagnosis. If it is interrupted,
    each part raises the exception of `check`.
    """

    context: SlotContext
    job: Job
    folder: Path
    measurements: Measurements
    say: Callable[[str], None]

    def prepare(self, versions: InputVersions, check: Check) -> JobInputs:
        """Fetch the inputs into an emptied folder."""
        with self._timed("download"), _disk(self.folder):
            remove_folder(self.folder)
            self.folder.mkdir(parents=True)
            return job_inputs.fetch(
                self.job, self.context.sources, versions, self.folder, check, self.say
            )

    def compute(self, job_inputs: JobInputs, check: Check) -> Path:
        """Run CellProfiler and diagnose its run; returns the folder of its outputs."""
        with _disk(self.folder):
            call = self._call(job_inputs)
            call.output_folder.mkdir()
            temporary = self.folder / "tmp"
            temporary.mkdir()
            timeout = self.context.settings.job_timeout
            with self._timed("cellprofiler"):
                ended = self.context.engine.run(call, temporary, timeout, check, self.say)
            self.measurements.peak_memory_mb = ended.peak_memory_mb
            diagnosis = diagnose(_evidence(ended, call))
            # With always_continue, a missing image does not show in the diagnosis.
            doubtful = diagnosis is not None or call.always_continue
            if doubtful and self.context.sources.mounted:
                images.check_mount()
        if diagnosis is not None:
            raise JobFailedError(diagnosis)
        return call.output_folder

    def publish(self, output: Path, check: Check) -> UploadedFiles:
        """Upload the outputs to their final keys and confirm them."""
        settings = self.context.settings
        with self._timed("upload"), _disk(self.folder):
            written = upload.publish(
                self.context.clients.s3,
                output,
                settings.destination_bucket,
                self.job.output,
                settings.upload_arguments,
                check,
            )
        self.measurements.files, self.measurements.bytes = written.files, written.bytes
        return written

    def _call(self, job_inputs: JobInputs) -> command_line.CellProfilerCall:
        return command_line.CellProfilerCall(
            pipeline=job_inputs.pipeline,
            data_file=job_inputs.data_file,
            group="" if self.job.data_file.endswith(".txt") else self.job.metadata,
            input_folder=job_inputs.folder,
            output_folder=self.folder / "output",
            # In this attempt's folder: the file of an earlier attempt must not count for this one.
            done_file=self.folder / "done",
            plugins=self.context.plugins,
            always_continue=self.context.settings.always_continue,
            numbering=job_inputs.numbering,
            whole_csv=job_inputs.whole_csv,
        )

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            setattr(self.measurements, phase, time.monotonic() - started)


def _evidence(ended: command_line.CellProfilerEnd, call: command_line.CellProfilerCall) -> Evidence:
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
