"""The end of an attempt: writes its record and settles its message.

The order is always the same: confirm the outputs, write the record, update the queue. If a worker
dies in between, its message becomes visible again, but no worker repeats a job with a success
record in its run.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.common.cancellation import Interruption
from dcp_worker.diagnosis.reasons import REASONS
from dcp_worker.jobs import message, result_record
from dcp_worker.jobs.queue import RETURN_SECONDS, Message
from dcp_worker.jobs.result_record import Measurements, ResultRecord
from dcp_worker.slot.job_log import stream_name

if TYPE_CHECKING:
    from dcp_worker.diagnosis.diagnose import Diagnosis
    from dcp_worker.jobs.message import Job
    from dcp_worker.slot.context import SlotContext

log = logging.getLogger(__name__)
# One line of JSON for every attempt, for counts and charts.
attempts = logging.getLogger("dcp_worker.attempts")

# Delay before a failed message is retried, times its attempts: another machine may do better.
RETRY_SECONDS = 5
# SQS allows no other control characters in an attribute ("MessageAttributeValue", SQS API).
_UNSENDABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_LENGTH = 256


@dataclass(frozen=True)
class Outcome:
    """The ways in which an attempt can end.

    Attributes:
        context: Context of the slot.
        received: The message.
        job: The job of the message; None if the message is unreadable.
        started: Time of receipt.
        measurements: Measurements of the attempt so far.
        say: Writes a line to the job's log.
        release: Stops extending the message's lease; called before the message is settled.
    """

    context: SlotContext
    received: Message
    job: Job | None
    started: datetime
    measurements: Measurements
    say: Callable[[str], None] = lambda line: None
    release: Callable[[], None] = lambda: None

    def succeed(self) -> None:
        """Record a success: the outputs are confirmed in S3."""
        self._end("succeeded", "", "")

    def skip(self, why: str) -> None:
        """Record a skipped job: it was done before this run."""
        self._end("skipped", "already_done", why)

    def repeat(self) -> None:
        """Drop a second delivery of a completed job, and keep its record."""
        self._log(self._result("repeated", "", "The job has already succeeded in this run."))
        self._queue("delete", lambda: self.context.queue.delete(self.received))

    def refuse(self, error: message.BadMessageError) -> None:
        """Dead-letter a message that is not a job."""
        self._dead_letter(
            self._result("failed", "bad_message", str(error), error.job_id, error.run_id)
        )

    def fail(self, diagnosis: Diagnosis) -> None:
        """Record a failure: final if the reason is permanent or no attempt remains."""
        last = self.received.attempt >= self.context.settings.job_retries
        if diagnosis.permanent or last:
            self._dead_letter(self._result("failed", diagnosis.code, diagnosis.text))
            return
        self._log(self._result("returned", diagnosis.code, diagnosis.text))
        self._hide(RETRY_SECONDS * self.received.attempt)

    def interrupted(self, interruption: Interruption) -> None:
        """Return the message of an attempt that was interrupted through no fault of the job."""
        self._log(self._result("returned", interruption.name.lower(), interruption.value))
        if interruption is Interruption.LEASE_LOST:
            return  # another worker may have the message
        self._give_back(begun=True)

    def give_back(self, why: str) -> None:
        """Return the message of a prefetched job that has not started, for an idle slot."""
        self._log(self._result("returned", "not_begun", why))
        self._give_back(begun=False)

    def _give_back(self, begun: bool) -> None:
        seconds = RETURN_SECONDS if self.context.stop.ordered else 0
        self._queue("return", lambda: self.context.queue.give_back(self.received, begun, seconds))

    def _end(self, status: str, reason: str, text: str) -> None:
        result = self._result(status, reason, text)
        if self._write(result):
            self._log(result)
            self._queue("delete", lambda: self.context.queue.delete(self.received))

    def _dead_letter(self, result: ResultRecord) -> None:
        attributes = {
            "dcp_app": result.app_name,
            "dcp_run": result.run_id,
            "job_id": result.job_id,
            "reason": result.reason,
            "reason_text": _UNSENDABLE.sub(" ", result.reason_text)[:_ATTRIBUTE_LENGTH],
        }
        if self._write(result):
            self._log(result)
            self._queue(
                "dead-letter", lambda: self.context.queue.dead_letter(self.received, attributes)
            )

    def _write(self, result: ResultRecord) -> bool:
        """Write the record; if that fails, return the message: a job ends only with its record."""
        name = result.job_id or f"message-{self.received.message_id}"
        try:
            result_record.write(
                self.context.clients.s3, self.context.settings.aws_bucket, result, name
            )
        except (BotoCoreError, ClientError) as error:
            log.error("Could not write the record of %s: %s", name, error)
            self._log(self._result("returned", "record_unwritten", str(error)))
            self._hide(RETRY_SECONDS * self.received.attempt)
            return False
        return True

    def _hide(self, seconds: int) -> None:
        self._queue("return", lambda: self.context.queue.hide(self.received, seconds))

    def _queue(self, action: str, call: Callable[[], None]) -> None:
        """Make a call that may fail: SQS then returns the message after its visibility timeout."""
        self.release()
        try:
            call()
        except (BotoCoreError, ClientError) as error:
            log.warning("Could not %s message %s: %s", action, self.received.message_id, error)

    def _log(self, result: ResultRecord) -> None:
        attempts.info("%s", json.dumps(result.document()))
        code = f" ({result.reason})" if result.reason else ""
        self.say(f"End: {result.status}{code}. {result.reason_text}")
        if result.status == "failed":
            self.say(f"What to do: {REASONS[result.reason].remedy}")

    def _result(
        self, status: str, reason: str, text: str, job_id: str = "", run_id: str = ""
    ) -> ResultRecord:
        settings = self.context.settings
        self.measurements.wait = self.received.waited
        return ResultRecord(
            job=self.job,
            job_id=self.job.job_id if self.job else job_id,
            run_id=self.job.run_id if self.job else run_id or settings.run_id,
            app_name=settings.app_name,
            status=status,
            reason=reason,
            reason_text=text,
            attempt=self.received.attempt,
            instance_id=self.context.instance_id,
            started_at=self.started,
            ended_at=datetime.now(timezone.utc),
            log_stream=stream_name(self.job.metadata_id) if self.job else "",
            measurements=self.measurements,
        )
