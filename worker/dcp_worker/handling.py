"""What becomes of one message: done, skipped, returned, or given up. Nothing is lost between.

The order is the same in every case: outputs confirmed, then the record, then the queue. Whoever
dies in between leaves a message that comes back, and a job with a success record in its run is
not done again.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker import attempt, message, outputs, record
from dcp_worker.diagnosis import Diagnosis, JobFailedError, diagnose_s3
from dcp_worker.interruption import InterruptedJobError, Interruption
from dcp_worker.job_log import JobLog, stream_name
from dcp_worker.queue import RETURN_SECONDS, Lease, Message, Queue
from dcp_worker.record import Figures, Result

if TYPE_CHECKING:
    from dcp_worker.attempt import Bench
    from dcp_worker.aws import Clients
    from dcp_worker.message import Job

log = logging.getLogger(__name__)
# One line of JSON for every attempt, for whoever counts or charts them.
attempts = logging.getLogger("dcp_worker.attempts")

# Before a failed message is tried again, times its attempts: the next machine may do better.
RETRY_SECONDS = 5
# SQS takes no other control characters in an attribute ("MessageAttributeValue", SQS API).
_UNSENDABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_LENGTH = 256


@dataclass(frozen=True)
class Workplace:
    """What a slot works with for as long as it lives."""

    clients: Clients
    queue: Queue
    bench: Bench
    instance_id: str


def handle(work: Workplace, received: Message, stopping: Callable[[], bool]) -> bool:
    """Bring one message to its end.

    Args:
        work: The slot's.
        received: The message.
        stopping: Whether the container is being stopped.

    Returns:
        Whether the machine is fit for the next one: False after a fault that is not the job's.
    """
    settings = work.bench.settings
    started = datetime.now(timezone.utc)
    try:
        job = message.parse(received.body, settings.run_id)
    except message.BadMessageError as error:
        log.warning("Message %s is refused: %s", received.message_id, error)
        ending = _Ending(work, received, None, started, Figures(), lambda line: None)
        ending.refuse(error)
        return True
    stream = stream_name(job.metadata_id)
    job_log = JobLog(work.clients.logs, settings.log_group, stream)
    try:
        job_log.say(f"Start of job {job.job_id}, {job.metadata}, attempt {received.attempt}.")
        ending = _Ending(work, received, job, started, Figures(), job_log.say)
        return _work(work, received, job, ending, stopping)
    finally:
        job_log.close()


def _work(
    work: Workplace,
    received: Message,
    job: Job,
    ending: _Ending,
    stopping: Callable[[], bool],
) -> bool:
    try:
        with Lease(work.queue, received, work.bench.settings.visibility) as lease:

            def check() -> None:
                if lease.lost:
                    raise InterruptedJobError(Interruption.LEASE_LOST)
                if stopping():
                    raise InterruptedJobError(Interruption.STOPPING)

            if _known_success(work, job):
                ending.repeat()
                return True
            # What lies in the folder of a job that was begun before may be half of its outputs.
            if received.fresh and _outputs_exist(work, job):
                ending.skip()
                return True
            attempt.perform(work.bench, job, ending.figures, check, ending.say)
            if lease.lost:
                raise InterruptedJobError(Interruption.LEASE_LOST)
    except InterruptedJobError as error:
        ending.interrupted(error.interruption)
    except JobFailedError as error:
        ending.fail(error.diagnosis)
        return not error.diagnosis.of_machine
    except Exception:
        # A fault of the worker's own. The job is not lost for it, nor does a message that brings
        # it about go round for ever; the slot is replaced by a fresh one.
        ending.fail(
            Diagnosis("worker_error", "The worker failed.", traceback.format_exc(), "", False)
        )
        raise
    else:
        ending.succeed()
    return True


def _known_success(work: Workplace, job: Job) -> bool:
    settings = work.bench.settings
    try:
        return record.has_succeeded(work.clients.s3, settings.bucket, settings.app_name, job)
    except (BotoCoreError, ClientError) as error:
        raise JobFailedError(diagnose_s3(error, "record", settings.bucket, job.job_id)) from error


def _outputs_exist(work: Workplace, job: Job) -> bool:
    settings = work.bench.settings
    return settings.skip_rule is not None and outputs.already_there(
        work.clients.s3, settings.destination_bucket, job.output, settings.skip_rule
    )


@dataclass(frozen=True)
class _Ending:
    """The ways in which an attempt ends, each with its record and what happens to the message."""

    work: Workplace
    received: Message
    job: Job | None
    started: datetime
    figures: Figures
    say: Callable[[str], None]

    def succeed(self) -> None:
        self._end("succeeded", "", "")

    def skip(self) -> None:
        self._end("skipped", "already_done", "The output folder already holds the files.")

    def repeat(self) -> None:
        """A second delivery of a job that is done: its record stands."""
        self._tell(self._result("repeated", "", "The job has succeeded in this run already."))
        self._queue("delete", lambda: self.work.queue.delete(self.received))

    def refuse(self, error: message.BadMessageError) -> None:
        self._bury(self._result("failed", "bad_message", str(error), error.job_id, error.run_id))

    def fail(self, diagnosis: Diagnosis) -> None:
        last = self.received.attempt >= self.work.bench.settings.job_retries
        if diagnosis.permanent or last:
            self._bury(self._result("failed", diagnosis.code, diagnosis.text))
            return
        self._tell(self._result("returned", diagnosis.code, diagnosis.text))
        self._hide(RETRY_SECONDS * self.received.attempt)

    def interrupted(self, interruption: Interruption) -> None:
        self._tell(self._result("returned", interruption.name.lower(), interruption.value))
        if interruption is Interruption.LEASE_LOST:
            return  # the message is another worker's business
        if self.received.attempt < self.work.bench.settings.job_retries:
            self._hide(RETURN_SECONDS)
        else:
            # Returned once more, SQS would dead-letter it, though the job has not failed.
            self._queue("send again", lambda: self.work.queue.send_again(self.received))

    def _end(self, status: str, reason: str, text: str) -> None:
        result = self._result(status, reason, text)
        if self._write(result):
            self._tell(result)
            self._queue("delete", lambda: self.work.queue.delete(self.received))

    def _bury(self, result: Result) -> None:
        attributes = {
            "dcp_app": result.app_name,
            "dcp_run": result.run_id,
            "job_id": result.job_id,
            "reason": result.reason,
            "reason_text": _UNSENDABLE.sub(" ", result.reason_text)[:_ATTRIBUTE_LENGTH],
        }
        if self._write(result):
            self._tell(result)
            self._queue(
                "dead-letter", lambda: self.work.queue.dead_letter(self.received, attributes)
            )

    def _write(self, result: Result) -> bool:
        """Write the record; without it the message goes back, for a job is over when recorded."""
        name = result.job_id or f"message-{self.received.message_id}"
        try:
            record.write(self.work.clients.s3, self.work.bench.settings.bucket, result, name)
        except (BotoCoreError, ClientError) as error:
            log.error("The record of %s cannot be written: %s", name, error)
            self._tell(self._result("returned", "record_unwritten", str(error)))
            self._hide(RETRY_SECONDS * self.received.attempt)
            return False
        return True

    def _hide(self, seconds: int) -> None:
        self._queue("return", lambda: self.work.queue.hide(self.received, seconds))

    def _queue(self, what: str, call: Callable[[], None]) -> None:
        """A call that may fail without harm: SQS returns the message when its time is over."""
        try:
            call()
        except (BotoCoreError, ClientError) as error:
            log.warning("Could not %s message %s: %s", what, self.received.message_id, error)

    def _tell(self, result: Result) -> None:
        attempts.info("%s", json.dumps(result.document()))
        code = f" ({result.reason})" if result.reason else ""
        self.say(f"End: {result.status}{code}. {result.reason_text}")

    def _result(
        self, status: str, reason: str, text: str, job_id: str = "", run_id: str = ""
    ) -> Result:
        settings = self.work.bench.settings
        self.figures.wait = self.received.waited
        return Result(
            job=self.job,
            job_id=self.job.job_id if self.job else job_id,
            run_id=self.job.run_id if self.job else run_id or settings.run_id,
            app_name=settings.app_name,
            status=status,
            reason=reason,
            reason_text=text,
            attempt=self.received.attempt,
            instance_id=self.work.instance_id,
            started_at=self.started,
            ended_at=datetime.now(timezone.utc),
            log_stream=stream_name(self.job.metadata_id) if self.job else "",
            figures=self.figures,
        )
