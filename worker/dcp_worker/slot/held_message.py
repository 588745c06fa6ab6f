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
from dcp_worker.diagnosis.diagnose import Diagnosis, JobFailedError, diagnose_s3
from dcp_worker.inputs import job_inputs
from dcp_worker.jobs import message, result_record
from dcp_worker.jobs.queue import Lease, Message
from dcp_worker.jobs.result_record import Figures
from dcp_worker.outputs import completed_jobs, upload
from dcp_worker.slot.attempt import Attempt, remove
from dcp_worker.slot.job_log import JobLog, stream_name
from dcp_worker.slot.job_timing import can_end
from dcp_worker.slot.outcome import Ending

if TYPE_CHECKING:
    from pathlib import Path

    from dcp_worker.inputs.job_inputs import Inputs, Origin
    from dcp_worker.jobs.message import Job
    from dcp_worker.slot.context import Workplace

log = logging.getLogger(__name__)


@dataclass
class Held:
    """A received message.

    Attributes:
        work: Context of the slot.
        received: The message.
        folder: Folder for the job's files.
        over: Called once, when the message is settled.
    """

    work: Workplace
    received: Message
    folder: Path
    over: Callable[[Held], None]
    _attempt: Attempt = field(init=False, repr=False)
    _ending: Ending = field(init=False, repr=False)
    _lease: Lease = field(init=False, repr=False)
    _log: JobLog = field(init=False, repr=False)
    _origin: Origin = field(init=False, repr=False)
    _inputs: Inputs = field(init=False, repr=False)
    _output: Path = field(init=False, repr=False)
    _begun: bool = field(init=False, repr=False, default=False)

    def open(self) -> bool:
        """Parse the message and fetch the job's inputs; returns whether the job must run."""
        settings = self.work.settings
        started = datetime.now(timezone.utc)
        try:
            job = message.parse(self.received.body, settings.run_id)
        except message.BadMessageError as error:
            log.warning("Rejected message %s: %s", self.received.message_id, error)
            Ending(self.work, self.received, None, started, Figures()).refuse(error)
            self.over(self)
            return False
        stream = stream_name(job.metadata_id)
        self._log = JobLog(self.work.clients.logs, settings.log_group_name, stream)
        say = self._log.say
        say(f"Start of job {job.job_id}, {job.metadata}, attempt {self.received.attempt}.")
        figures = Figures()
        self._lease = Lease(self.work.queue, self.received, settings.sqs_message_visibility)
        self._ending = Ending(self.work, self.received, job, started, figures, say, self._lease.end)
        self._attempt = Attempt(self.work, job, self.folder, figures, say)
        self._lease.start()
        with self._step() as step:
            if not self._done_before(job):
                self._inputs = self._attempt.prepare(self._origin, self._not_stopping)
                self.work.pace.fetching.append(figures.download)
                step.complete = True
        return step.complete

    def compute(self) -> bool:
        """Run CellProfiler; returns whether there are outputs to publish."""
        started = time.monotonic()

        def check() -> None:
            self._check_lease()
            left = self.work.stop.left(COMPUTING)
            if self.work.stop.ordered and not can_end(
                time.monotonic() - started, tuple(self.work.pace.computing), left
            ):
                raise InterruptedJobError(Interruption.STOPPING)

        with self._step() as step:
            check()
            self._begun = True
            self._output = self._attempt.compute(self._inputs, check)
            self.work.pace.computing.append(self._attempt.figures.cellprofiler)
            step.complete = True
        return step.complete

    def publish(self) -> None:
        """Upload the outputs and end the job."""

        def check() -> None:
            self._check_lease()
            if self.work.stop.left(PUBLISHING) <= 0:
                raise InterruptedJobError(Interruption.STOPPING)

        with self._step():
            check()  # the job may have waited for long: upload only with a lease
            written = self._attempt.publish(self._output, check)
            check()
            self._note(written)
            self._ending.succeed()
            self.work.fitness.note(None)

    def give_back(self) -> None:
        """Return a job that was opened but not computed, so that an idle slot can run it."""
        with self._step():
            self._ending.give_back("An idle slot can run it sooner.")

    def _done_before(self, job: Job) -> bool:
        """End a job that needs no computing; otherwise store the versions of its inputs."""
        settings, s3 = self.work.settings, self.work.clients.s3
        if self._known_success(job):
            self._ending.repeat()
            return True
        # An earlier attempt at the job may have left only a part of its outputs.
        by_outputs = settings.check_if_done_bool and self.received.fresh
        if by_outputs and upload.already_there(s3, settings, job.output):
            self._ending.skip("The output folder already holds the files.")
            return True
        self._origin = job_inputs.origin(job, self.work.sources)
        if settings.check_if_done_exact and completed_jobs.is_done(s3, settings, job, self._origin):
            self._ending.skip("An earlier run completed it with the same pipeline and data file.")
            return True
        return False

    def _known_success(self, job: Job) -> bool:
        settings = self.work.settings
        try:
            return result_record.has_succeeded(
                self.work.clients.s3, settings.aws_bucket, settings.app_name, job
            )
        except (BotoCoreError, ClientError) as error:
            raise JobFailedError(
                diagnose_s3(error, "record", settings.aws_bucket, job.job_id)
            ) from error

    def _note(self, written: upload.Written) -> None:
        settings = self.work.settings
        try:
            completed_jobs.note(
                self.work.clients.s3, settings, self._attempt.job, self._origin, written
            )
        except JobFailedError as error:
            # The only consequence: a later run repeats the job.
            self._log.say(f"Could not write the note for later runs: {error}")

    def _check_lease(self) -> None:
        if self._lease.lost:
            raise InterruptedJobError(Interruption.LEASE_LOST)

    def _not_stopping(self) -> None:
        self._check_lease()
        if self.work.stop.ordered:
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
            self.work.fitness.note(error.diagnosis)
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
            self._ending.give_back(interruption.value)
        else:
            self._ending.interrupted(interruption)

    def _failed(self, diagnosis: Diagnosis) -> None:
        """Record the failure, unless another worker has the message by now."""
        if self._lease.lost:
            self._ending.interrupted(Interruption.LEASE_LOST)
        else:
            self._ending.fail(diagnosis)

    def _close(self) -> None:
        self._lease.end()
        try:
            remove(self.folder)
        except OSError as error:
            log.warning("Could not remove the files of a job: %s", error)
        self._log.close()
        self.over(self)


@dataclass
class _Step:
    complete: bool = False
