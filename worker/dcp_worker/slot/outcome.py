"""The end of an attempt: its record, and what becomes of its message.

The order is the same in every case: outputs confirmed, then the record, then the queue. Whoever
dies in between leaves a message that comes back, and a job with a success record in its run is
not done again.
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
from dcp_worker.jobs import message, result_record
from dcp_worker.jobs.queue import RETURN_SECONDS, Message
from dcp_worker.jobs.result_record import Figures, Result
from dcp_worker.slot.job_log import stream_name

if TYPE_CHECKING:
    from dcp_worker.diagnosis.diagnose import Diagnosis
    from dcp_worker.jobs.message import Job
    from dcp_worker.slot.context import Workplace

log = logging.getLogger(__name__)
# One line of JSON for every attempt, for whoever counts or charts them.
attempts = logging.getLogger("dcp_worker.attempts")

# Before a failed message is tried again, times its attempts: the next machine may do better.
RETRY_SECONDS = 5
# SQS takes no other control characters in an attribute ("MessageAttributeValue", SQS API).
_UNSENDABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_LENGTH = 256


@dataclass(frozen=True)
class Ending:
    """The ways in which an attempt ends.

    Attributes:
        work: The slot's.
        received: The message.
        job: What it stands for; None when it cannot be read.
        started: When it was received.
        figures: Of the attempt, so far.
        say: Takes the lines of the job's log.
        release: Stops extending the message's lease; called before the message is dealt with.
    """

    work: Workplace
    received: Message
    job: Job | None
    started: datetime
    figures: Figures
    say: Callable[[str], None] = lambda line: None
    release: Callable[[], None] = lambda: None

    def succeed(self) -> None:
        """The outputs are in S3, confirmed."""
        self._end("succeeded", "", "")

    def skip(self, why: str) -> None:
        """The job was done before this run."""
        self._end("skipped", "already_done", why)

    def repeat(self) -> None:
        """A second delivery of a job that is done: its record stands."""
        self._tell(self._result("repeated", "", "The job has succeeded in this run already."))
        self._queue("delete", lambda: self.work.queue.delete(self.received))

    def refuse(self, error: message.BadMessageError) -> None:
        """The message is no job."""
        self._bury(self._result("failed", "bad_message", str(error), error.job_id, error.run_id))

    def fail(self, diagnosis: Diagnosis) -> None:
        """The attempt failed; for good when the reason is permanent or no attempt is left."""
        last = self.received.attempt >= self.work.settings.job_retries
        if diagnosis.permanent or last:
            self._bury(self._result("failed", diagnosis.code, diagnosis.text))
            return
        self._tell(self._result("returned", diagnosis.code, diagnosis.text))
        self._hide(RETRY_SECONDS * self.received.attempt)

    def interrupted(self, interruption: Interruption) -> None:
        """The attempt was broken off by no fault of the job."""
        self._tell(self._result("returned", interruption.name.lower(), interruption.value))
        if interruption is Interruption.LEASE_LOST:
            return  # the message is another worker's business
        self._give_back(begun=True)

    def give_back(self, why: str) -> None:
        """A job that was held and not begun goes to whoever is idle."""
        self._tell(self._result("returned", "not_begun", why))
        self._give_back(begun=False)

    def _give_back(self, begun: bool) -> None:
        seconds = RETURN_SECONDS if self.work.stop.ordered else 0
        self._queue("return", lambda: self.work.queue.give_back(self.received, begun, seconds))

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
            result_record.write(self.work.clients.s3, self.work.settings.aws_bucket, result, name)
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
        self.release()
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
        settings = self.work.settings
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
