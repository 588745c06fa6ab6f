"""The container's main process: starts the slots, replaces those that die, stops them all.

It computes nothing and holds no message, so no job can bring it down.
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

from dcp_worker.common.folders import remove_folder
from dcp_worker.jobs import queue_done
from dcp_worker.jobs.queue_done import QueueDone
from dcp_worker.slot.slot import CACHE_FOLDER, DRAIN
from dcp_worker.supervisor.slot_process import SlotProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from mypy_boto3_sqs import SQSClient

    from dcp_worker.common.settings import Settings
    from dcp_worker.jobs.drain_order import DrainOrder
    from dcp_worker.machine.scale_in_protection import ScaleInProtection

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
# Between two attempts to have the machine replaced, because AWS may refuse one.
_REPLACE_SECONDS = 300.0
# Slots exit a little earlier (cancellation.ALIVE); ECS kills the container a little later.
_ENDING = 0.97


class Supervisor:
    """Keeps the slots of the container running until SIGTERM."""

    def __init__(
        self,
        settings: Settings,
        sqs: SQSClient,
        protection: ScaleInProtection,
        drain_order: DrainOrder,
        plugins: Path | None,
        instance_id: str,
        terminate_machine: Callable[[], None],
        replace_machine: Callable[[], None],
    ) -> None:
        """Prepare the slots; `run` starts them.

        Args:
            settings: Settings of the worker.
            sqs: SQS client.
            protection: Scale-in protection of the container's task.
            drain_order: Drain order of the run.
            plugins: Plugins directory, if any.
            instance_id: Id of the machine; empty without one.
            terminate_machine: Terminates the machine and empties its fleet, when the queue is done.
            replace_machine: Terminates the machine for the fleet to replace, when no slot can work.
        """
        now = time.monotonic()
        self._slots = [
            SlotProcess(number, now + number * settings.seconds_to_start)
            for number in range(settings.docker_cores)
        ]
        self._settings = settings
        self._sqs = sqs
        self._protection = protection
        self._drain_order = drain_order
        self._terminate_machine = terminate_machine
        self._replace_machine = replace_machine
        self._arguments = [instance_id, str(plugins or "")]
        self._queue_done = QueueDone(settings.idle_seconds)
        self._next_poll = 0.0
        self._notice = ""
        self._retiring = False
        self._draining = False
        self._next_replacement = 0.0
        self._stopping = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Stop all slots: the handler of SIGTERM.

        It signals them at once: a slow call to AWS could keep `run` busy for too long.
        """
        self._stopping = True
        self._signal_slots(signal.SIGTERM)

    def retire(self, notice: str) -> None:
        """Start no new jobs: AWS is taking the machine away. Any thread may call this."""
        self._notice = notice
        self._signal_slots(signal.SIGTERM)

    def _signal_slots(self, number: signal.Signals) -> None:
        for slot in self._slots:
            slot.signal(number)

    def run(self) -> None:
        """Supervise until stopped; on return no process and no local file remains."""
        while not self._stopping:
            if self._notice and not self._retiring:
                self._retire()
            self._obey_drain_order()
            for slot in self._slots:
                self._start_or_replace(slot)
            self._protection.set(self._holds_jobs)
            self._listen()
            self._check_machine()
        log.info("Stopping: jobs that cannot finish in time go back to the queue.")
        self._end()

    def _retire(self) -> None:
        """Let the slots exit but keep running: ECS would restart the container on this machine."""
        log.warning("%s No new jobs will start.", self._notice)
        self._retiring = True
        self._start_slots(math.inf)
        self._signal_slots(signal.SIGTERM)  # also a slot that started in the meantime

    def _obey_drain_order(self) -> None:
        """Let the slots exit when the run drains; start them again when it is continued."""
        if self._notice:
            return  # no new jobs start anyway, and the machine ends before the run is continued
        if self._holds_jobs or self._draining:
            self._drain_order.poll()
        if self._drain_order.ordered and not self._draining:
            log.info("The run is draining: no new jobs will start.")
            self._draining, self._queue_done = True, self._queue_done.after(None)
            self._start_slots(math.inf)
            self._signal_slots(DRAIN)
        elif self._draining and not self._drain_order.ordered and not self._any_slot:
            log.info("The run continues.")
            self._draining, self._queue_done = False, self._queue_done.after(None)
            self._start_slots(time.monotonic())

    def _start_slots(self, moment: float) -> None:
        """Start the slots that do not run, one after the other from a moment on (inf: never)."""
        for slot in self._slots:
            if not slot.unfit:
                slot.not_before = moment + slot.number * self._settings.seconds_to_start

    @property
    def _holds_jobs(self) -> bool:
        return any(slot.receipts for slot in self._slots)

    @property
    def _any_slot(self) -> bool:
        return any(slot.socket is not None for slot in self._slots)

    def _start_or_replace(self, slot: SlotProcess) -> None:
        if slot.socket is None:
            if time.monotonic() >= slot.not_before:
                slot.start(self._arguments)
        elif not slot.alive:
            slot.record_exit(bool(self._notice) or self._draining)
            self._return(slot)

    def _return(self, slot: SlotProcess) -> None:
        """Return the messages of a slot that died, so that nobody waits for their timeout."""
        receipts, slot.receipts = slot.receipts, []
        for receipt in receipts:
            try:
                self._sqs.change_message_visibility(
                    QueueUrl=self._settings.sqs_queue_url,
                    ReceiptHandle=receipt,
                    VisibilityTimeout=0,
                )
            except (BotoCoreError, ClientError) as error:
                log.warning("Could not return a message of slot %d: %s", slot.number, error)

    def _listen(self) -> None:
        sockets = {slot.socket: slot for slot in self._slots if slot.socket is not None}
        if not sockets:
            time.sleep(_POLL_SECONDS)
            return
        readable, _, _ = select.select(list(sockets), [], [], _POLL_SECONDS)
        for ready in readable:
            sockets[ready].listen()

    def _check_machine(self) -> None:
        """Terminate an idle machine, and have an unfit one replaced."""
        now = time.monotonic()
        unfit = not self._draining and all(slot.unfit for slot in self._slots)
        if unfit and now >= self._next_replacement:
            log.error("No slot can work on this machine: terminating it for replacement.")
            self._next_replacement = now + _REPLACE_SECONDS
            self._replace_machine()
        if self._holds_jobs:
            self._queue_done = self._queue_done.after(None)
        elif now >= self._next_poll:
            poll = queue_done.poll(self._sqs, self._settings.sqs_queue_url, now)
            if poll is not None and self._draining:
                poll = poll.in_flight_only
            self._queue_done = self._queue_done.after(poll)
            self._next_poll = now + self._queue_done.pause
            if self._queue_done.done:
                self._queue_done = self._queue_done.after(None)
                # If AWS refuses, the next attempt follows after the same time; slots keep polling.
                self._terminate_machine()

    def _end(self) -> None:
        limit = time.monotonic() + _ENDING * self._settings.stop_seconds
        self._signal_slots(signal.SIGTERM)  # also a slot that started in the meantime
        while any(slot.alive for slot in self._slots) and time.monotonic() < limit:
            time.sleep(0.05)
        for slot in self._slots:
            slot.kill()
            slot.listen()
            self._return(slot)
        for folder in (CACHE_FOLDER, *(f"slot{slot.number}" for slot in self._slots)):
            _clear(Path.cwd() / folder)


def _clear(folder: Path) -> None:
    """Remove files of slots that have exited."""
    try:
        remove_folder(folder)
    except OSError as error:
        log.warning("Could not remove %s: %s", folder, error)
