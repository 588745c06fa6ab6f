"""One received message on its way through the slot: opened, computed, published.

The three steps may run on different threads, one after the other. If one of them fails, the attempt
ends there: the worker writes its record, settles its message and removes its files.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.common.cancellation import (
    COMPUTING,
    PUBLISHING,
    InterruptedJobError,
    Interruption,
)
from dcp_worker.common.folders import remove_folder
from dcp_worker.diagnosis.diagnose import Diagnosis, JobFailedError, diagnose_s3
from dcp_worker.inputs import job_inputs
from dcp_worker.jobs import message, result_record
from dcp_worker.jobs.queue import Lease, Message
from dcp_worker.jobs.result_record import Measurements
from dcp_worker.outputs import completed_jobs, upload
from dcp_worker.slot.attempt import Attempt
from dcp_worker.slot.job_log import JobLog, stream_name
from dcp_worker.slot.job_timing import can_finish
from dcp_worker.slot.outcome import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from dcp_worker.inputs.job_inputs import InputVersions, JobInputs
    from dcp_worker.jobs.message import Job
    from dcp_worker.slot.context import SlotContext

log = logging.getLogger(__name__)


@dataclass
class HeldMessage:
    """A received message.

    Attributes:
        context: Context of the slot.
        received: The message.
        folder: Folder for the job's files.
        over: Called once, when the message is settled.
    """

    context: SlotContext
    received: Message
    folder: Path
    over: Callable[[HeldMessage], None]
    _attempt: Attempt = field(init=False, repr=False)
    _outcome: Outcome = field(init=False, repr=False)
    _lease: Lease = field(init=False, repr=False)
    _log: JobLog = field(init=False, repr=False)
    _versions: InputVersions = field(init=False, repr=False)
    _inputs: JobInputs = field(init=False, repr=False)
    _output: Path = field(init=False, repr=False)
    _begun: bool = field(init=False, repr=False, default=False)

    def open(self) -> bool:
        """Parse the message and fetch the job's inputs; returns whether the job must run."""
        settings = self.context.settings
        started = datetime.now(timezone.utc)
        try:
            job = message.parse(self.received.body, settings.run_id)
        except message.BadMessageError as error:
            log.warning("Rejected message %s: %s", self.received.message_id, error)
            Outcome(self.context, self.received, None, started, Measurements()).refuse(error)
            self.over(self)
            return False
        stream = stream_name(job.metadata_id)
        self._log = JobLog(self.context.clients.logs, settings.log_group_name, stream)
        say = self._log.say
        say(f"Start of job {job.job_id}, {job.metadata}, attempt {self.received.attempt}.")
        measurements = Measurements()
        self._lease = Lease(self.context.queue, self.received, settings.sqs_message_visibility)
        self._outcome = Outcome(
            self.context, self.received, job, started, measurements, say, self._lease.end
        )
        self._attempt = Attempt(self.context, job, self.folder, measurements, say)
        self._lease.start()
        with self._step() as step:
            if not self._done_before(job):
                self._inputs = self._attempt.prepare(self._versions, self._not_stopping)
                self.context.job_times.fetching.append(measurements.download)
                step.complete = True
        return step.complete

    def compute(self) -> bool:
        """Run CellProfiler; returns whether there are outputs to publish."""
        started = time.monotonic()

        def check() -> None:
            self._check_lease()
            left = self.context.stop.left(COMPUTING)
            if self.context.stop.ordered and not can_finish(
                time.monotonic() - started, tuple(self.context.job_times.computing), left
            ):
                raise InterruptedJobError(Interruption.STOPPING)

        with self._step() as step:
            check()
            self._begun = True
            self._output = self._attempt.compute(self._inputs, check)
            self.context.job_times.computing.append(self._attempt.measurements.cellprofiler)
            step.complete = True
        return step.complete

    def publish(self) -> None:
        """Upload the outputs and end the job."""

        def check() -> None:
            self._check_lease()
            if self.context.stop.left(PUBLISHING) <= 0:
                raise InterruptedJobError(Interruption.STOPPING)

        with self._step():
            check()  # the job may have waited for long: upload only with a lease
            written = self._attempt.publish(self._output, check)
            check()
            self._write_note(written)
            self._outcome.succeed()
            self.context.health.record(None)

    def give_back(self) -> None:
        """Return a job that was opened but not computed, so that an idle slot can run it."""
        with self._step():
            self._outcome.give_back("An idle slot can run it sooner.")

    def _done_before(self, job: Job) -> bool:
        """End a job that needs no computing; otherwise store the versions of its inputs."""
        settings, s3 = self.context.settings, self.context.clients.s3
        if self._known_success(job):
            self._outcome.repeat()
            return True
        # An earlier attempt at the job may have left only a part of its outputs.
        by_outputs = settings.check_if_done_bool and self.received.fresh
        if by_outputs and upload.has_outputs(s3, settings, job.output):
            self._outcome.skip("The output folder already holds the files.")
            return True
        self._versions = job_inputs.current_versions(job, self.context.sources)
        if settings.check_if_done_exact and completed_jobs.is_done(
            s3, settings, job, self._versions
        ):
            self._outcome.skip("An earlier run completed it with the same pipeline and data file.")
            return True
        return False

    def _known_success(self, job: Job) -> bool:
        settings = self.context.settings
        try:
            return result_record.has_succeeded(
                self.context.clients.s3, settings.aws_bucket, settings.app_name, job
            )
        except (BotoCoreError, ClientError) as error:
            raise JobFailedError(
                diagnose_s3(error, "record", settings.aws_bucket, job.job_id)
            ) from error

    def _write_note(self, written: upload.UploadedFiles) -> None:
        settings = self.context.settings
        try:
            completed_jobs.write_note(
                self.context.clients.s3, settings, self._attempt.job, self._versions, written
            )
        except JobFailedError as error:
            # The only consequence: a later run repeats the job.
            self._log.say(f"Could not write the note for later runs: {error}")

    def _check_lease(self) -> None:
        if self._lease.lost:
            raise InterruptedJobError(Interruption.LEASE_LOST)

    def _not_stopping(self) -> None:
        self._check_lease()
        if self.context.stop.ordered:
            raise InterruptedJobError(Interruption.STOPPING)

    @contextmanager
    def _step(self) -> Iterator[_Step]:
        """End the attempt if the step does not complete, for whatever cause."""
        step = _Step()
        try:
            yield step
        except InterruptedJobError as error:
            self._interrupted(error.interruption)
        except JobFailedError as error:
            self._failed(error.diagnosis)
            self.context.health.record(error.diagnosis)
        except Exception:
            # A fault of the worker itself. The job gets its record, so its message neither gets
            # lost nor circulates for ever; the supervisor replaces the slot.
            self._failed(Diagnosis("worker_error", "The worker failed.", traceback.format_exc()))
            raise
        finally:
            if not step.complete:
                self._close()

    def _interrupted(self, interruption: Interruption) -> None:
        if interruption is Interruption.STOPPING and not self._begun:
            self._outcome.give_back(interruption.value)
        else:
            self._outcome.interrupted(interruption)

    def _failed(self, diagnosis: Diagnosis) -> None:
        """Record the failure, unless another worker has the message by now."""
        if self._lease.lost:
            self._outcome.interrupted(Interruption.LEASE_LOST)
        else:
            self._outcome.fail(diagnosis)

    def _close(self) -> None:
        self._lease.end()
        try:
            remove_folder(self.folder)
        except OSError as error:
            log.warning("Could not remove the files of a job: %s", error)
        self._log.close()
        self.over(self)


@dataclass
class _Step:
    complete: bool = False
