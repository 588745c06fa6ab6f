"""The container's main process: starts the slots, replaces those that die, ends them all.

It computes nothing and holds no message, so that nothing a job does can take it down.
"""

from __future__ import annotations

import logging
import math
import select
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.jobs import queue_done
from dcp_worker.jobs.queue_done import QueueDone
from dcp_worker.slot.attempt import remove
from dcp_worker.slot.slot import CACHE, FINISH
from dcp_worker.supervisor.slot_process import SlotProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from mypy_boto3_sqs import SQSClient

    from dcp_worker.common.settings import Settings
    from dcp_worker.jobs.finish_order import Finish
    from dcp_worker.machine.scale_in_protection import Protection

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
# Between two tries to have the machine replaced, for one may be refused.
_REPLACE_SECONDS = 300.0
# Slots end themselves a little earlier (cancellation.ALIVE), ECS ends all a little later.
_ENDING = 0.97


class Supervisor:
    """Keeps the slots of the container running until SIGTERM."""

    def __init__(
        self,
        settings: Settings,
        sqs: SQSClient,
        protection: Protection,
        finish: Finish,
        plugins: Path | None,
        instance_id: str,
        end_machine: Callable[[], None],
        replace_machine: Callable[[], None],
    ) -> None:
        """Make it; nothing is started before `run`.

        Args:
            settings: The worker's.
            sqs: The client.
            protection: Of the container's task.
            finish: The order to finish, of the run.
            plugins: Plugins directory, if any.
            instance_id: Of the machine; empty when it has none.
            end_machine: Ends the machine and the fleet behind it: the queue is done.
            replace_machine: Ends the machine, for another to take its place: no slot can work.
        """
        now = time.monotonic()
        self._slots = [
            SlotProcess(number, now + number * settings.seconds_to_start)
            for number in range(settings.docker_cores)
        ]
        self._settings = settings
        self._sqs = sqs
        self._protection = protection
        self._finish = finish
        self._end_machine = end_machine
        self._replace_machine = replace_machine
        self._arguments = [instance_id, str(plugins or "")]
        self._queue_done = QueueDone(settings.idle_seconds)
        self._next_look = 0.0
        self._notice = ""
        self._retiring = False
        self._finishing = False
        self._next_replacement = 0.0
        self._stopping = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """End all slots: the handler of SIGTERM.

        They are told at once: AWS may keep `run` waiting for longer than there is time.
        """
        self._stopping = True
        self._tell_the_slots(signal.SIGTERM)

    def retire(self, notice: str) -> None:
        """Begin nothing new, for the machine is being taken away; may be called by any thread."""
        self._notice = notice
        self._tell_the_slots(signal.SIGTERM)

    def _tell_the_slots(self, number: signal.Signals) -> None:
        for slot in self._slots:
            slot.signal(number)

    def run(self) -> None:
        """Supervise until stopped; on return no process and no local file is left."""
        while not self._stopping:
            if self._notice and not self._retiring:
                self._retire()
            self._heed_the_finish()
            for slot in self._slots:
                self._look_after(slot)
            self._protection.set(self._holds_jobs)
            self._listen()
            self._consider_the_machine()
        log.info("Stopping: what cannot end in time is returned.")
        self._end()

    def _retire(self) -> None:
        """Let the slots end, and stay: ECS would start a container anew on this same machine."""
        log.warning("%s No further job is begun.", self._notice)
        self._retiring = True
        self._start_slots(math.inf)
        self._tell_the_slots(signal.SIGTERM)  # also one that was started in the meantime

    def _heed_the_finish(self) -> None:
        """Let the slots end when the run is to finish; begin anew when it is continued."""
        if self._notice:
            return  # nothing is begun anyway, and the machine does not live to see it continued
        if self._holds_jobs or self._finishing:
            self._finish.look()
        if self._finish.ordered and not self._finishing:
            log.info("The run is to finish: no further job is begun.")
            self._finishing, self._queue_done = True, self._queue_done.seen(None)
            self._start_slots(math.inf)
            self._tell_the_slots(FINISH)
        elif self._finishing and not self._finish.ordered and not self._any_slot:
            log.info("The run is continued.")
            self._finishing, self._queue_done = False, self._queue_done.seen(None)
            self._start_slots(time.monotonic())

    def _start_slots(self, moment: float) -> None:
        """Start what slots do not run at a moment, one after the other; infinity: never."""
        for slot in self._slots:
            if not slot.unfit:
                slot.not_before = moment + slot.number * self._settings.seconds_to_start

    @property
    def _holds_jobs(self) -> bool:
        return any(slot.receipts for slot in self._slots)

    @property
    def _any_slot(self) -> bool:
        return any(slot.socket is not None for slot in self._slots)

    def _look_after(self, slot: SlotProcess) -> None:
        if slot.socket is None:
            if time.monotonic() >= slot.not_before:
                slot.start(self._arguments)
        elif not slot.alive:
            slot.bury(bool(self._notice) or self._finishing)
            self._return(slot)

    def _return(self, slot: SlotProcess) -> None:
        """Give back the messages of a slot that was killed, so that they need not time out."""
        receipts, slot.receipts = slot.receipts, []
        for receipt in receipts:
            try:
                self._sqs.change_message_visibility(
                    QueueUrl=self._settings.sqs_queue_url,
                    ReceiptHandle=receipt,
                    VisibilityTimeout=0,
                )
            except (BotoCoreError, ClientError) as error:
                log.warning("A message of slot %d could not be returned: %s", slot.number, error)

    def _listen(self) -> None:
        sockets = {slot.socket: slot for slot in self._slots if slot.socket is not None}
        if not sockets:
            time.sleep(_LOOK_SECONDS)
            return
        readable, _, _ = select.select(list(sockets), [], [], _LOOK_SECONDS)
        for ready in readable:
            sockets[ready].listen()

    def _consider_the_machine(self) -> None:
        """End a machine without work, and one that is unfit for it."""
        now = time.monotonic()
        unfit = not self._finishing and all(slot.unfit for slot in self._slots)
        if unfit and now >= self._next_replacement:
            log.error("No slot can work on this machine: another one is to take its place.")
            self._next_replacement = now + _REPLACE_SECONDS
            self._replace_machine()
        if self._holds_jobs:
            self._queue_done = self._queue_done.seen(None)
        elif now >= self._next_look:
            look = queue_done.look(self._sqs, self._settings.sqs_queue_url, now)
            if look is not None and self._finishing:
                look = look.at_work
            self._queue_done = self._queue_done.seen(look)
            self._next_look = now + self._queue_done.pause
            if self._queue_done.done:
                self._queue_done = self._queue_done.seen(None)
                # Refused, it is tried again after the same time; the slots go on asking for work.
                self._end_machine()

    def _end(self) -> None:
        limit = time.monotonic() + _ENDING * self._settings.stop_seconds
        self._tell_the_slots(signal.SIGTERM)  # also one that was started in the meantime
        while any(slot.alive for slot in self._slots) and time.monotonic() < limit:
            time.sleep(0.05)
        for slot in self._slots:
            slot.kill()
            slot.listen()
            self._return(slot)
        for folder in (CACHE, *(f"slot{slot.number}" for slot in self._slots)):
            _clear(Path.cwd() / folder)


def _clear(folder: Path) -> None:
    """Remove files of slots that have ended."""
    try:
        remove(folder)
    except OSError as error:
        log.warning("%s could not be removed: %s", folder, error)
