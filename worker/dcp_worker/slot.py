"""A slot: one process that brings one job after another to its end, for ever, until SIGTERM.

On SIGUSR1 (`FINISH`) it begins nothing new and ends when its jobs have, however long they take.

While one job computes, the next is fetched and the last is published, each on a thread of its own.

The supervisor runs it as `python -m dcp_worker.slot NUMBER INSTANCE_ID PLUGINS` with a socket as
standard input: the socket's end tells the slot that the supervisor is gone, and through it the
slot says which messages it holds, as a line of JSON whenever that changes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker import logs
from dcp_worker.attempt import remove
from dcp_worker.aws import Clients
from dcp_worker.engine import Engine
from dcp_worker.intake import Intake
from dcp_worker.interruption import ALIVE, InterruptedJobError, Interruption
from dcp_worker.queue import Queue
from dcp_worker.settings import Settings
from dcp_worker.sources import Sources
from dcp_worker.workplace import Workplace

if TYPE_CHECKING:
    from types import FrameType

    from dcp_worker.handling import Held

log = logging.getLogger("dcp_worker.slot")

# The signal to begin nothing new.
FINISH = signal.SIGUSR1
# The exit status of a slot whose machine is unfit: it is not replaced.
UNFIT = 3
# Beside the slots' folders: what all of them use.
CACHE = "cache"
_LOG_SECONDS = 3
# In a container nothing outlives the first process; elsewhere there is no reason to stay.
_ORPHAN_SECONDS = 10
FAILED = 1


class Receipts:
    """The messages at hand, as the supervisor is told of them."""

    def __init__(self, supervisor: socket.socket) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._receipts: list[str] = []

    def changed(self, held: Held, at_hand: bool) -> None:
        """Tell that a message is at hand, or has been dealt with."""
        with self._lock:
            (self._receipts.append if at_hand else self._receipts.remove)(held.received.receipt)
            with contextlib.suppress(OSError):  # it is gone: _leave_with ends the slot
                self._supervisor.sendall(json.dumps(self._receipts).encode() + b"\n")


class Slot:
    """Computes what its intake brings, and has the outputs published."""

    def __init__(self, work: Workplace, receipts: Receipts) -> None:
        self._work = work
        self._intake = Intake(work, receipts.changed)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="slot")
        self._publishing: Future[None] | None = None

    def run(self) -> int:
        """Work until stopped; the exit status. An empty queue is no reason to leave."""
        work = self._work
        intake = self._threads.submit(self._intake.run)
        try:
            while not work.stop.ordered and not work.fitness.reason and not intake.done():
                held = self._intake.take()
                if held is not None and held.compute():
                    self._publish(held)
        except Exception:
            # The other jobs at hand end as on SIGTERM, so that it does not cost them an attempt.
            work.stop.order(work.settings.stop_seconds)
            raise
        finally:
            wait([intake, *([self._publishing] if self._publishing else [])])
        intake.result()
        if self._publishing is not None:
            self._publishing.result()
        if work.fitness.reason:
            log.error("The slot takes no more work: %s", work.fitness.reason)
            return UNFIT
        return 0

    def _publish(self, held: Held) -> None:
        """Once the outputs of the job before are published: no more than two jobs' are here."""
        before = self._publishing
        if before is not None:
            wait([before])
        self._publishing = self._threads.submit(held.publish)
        if before is not None:
            before.result()  # its error, if any, does not cost this job its outputs


def _leave_with(supervisor: socket.socket, work: Workplace) -> None:
    """Stop when the supervisor's end of the socket closes, however it died."""
    with contextlib.suppress(OSError):
        supervisor.recv(1)
    work.stop.order(_ORPHAN_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _workplace(number: int, instance_id: str, plugins: str) -> Workplace:
    settings = Settings.from_environment(os.environ)
    clients = Clients.of(settings.aws_region)
    here = Path.cwd()
    plugins_folder = Path(plugins) if plugins else None
    return Workplace(
        settings=settings,
        clients=clients,
        queue=Queue(clients.sqs, settings.sqs_queue_url, settings.sqs_dead_letter_queue_url),
        sources=Sources.of(settings, clients, here / CACHE, not settings.download_files),
        engine=Engine(
            settings.warm, settings.memory / settings.docker_cores, log, plugins=plugins_folder
        ),
        folder=here / f"slot{number}",
        plugins=plugins_folder,
        instance_id=instance_id,
    )


def main(arguments: list[str]) -> int:
    """Run the slot that the supervisor asks for; the exit status."""
    number, instance_id, plugins = arguments
    logs.to_stdout(f"slot {number}")
    work = _workplace(int(number), instance_id, plugins)
    remove(work.folder)  # of a slot that died in mid-job
    work.folder.mkdir()
    # A CellProfiler that is killed while it starts leaves nothing elsewhere.
    os.environ["TMPDIR"] = str(work.folder)
    supervisor = socket.socket(fileno=0)

    def stop(number: int, frame: FrameType | None) -> None:
        work.stop.order(work.settings.stop_seconds)
        # Who has not ended by then is ended by the kernel; the supervisor returns its messages.
        signal.setitimer(signal.ITIMER_REAL, max(0.1, work.stop.left(ALIVE)))

    for order in (signal.SIGTERM, signal.SIGINT):
        signal.signal(order, stop)
    signal.signal(FINISH, lambda number, frame: work.stop.finish())
    threading.Thread(target=_leave_with, args=(supervisor, work), daemon=True).start()

    def check() -> None:
        if work.stop.ordered:
            raise InterruptedJobError(Interruption.STOPPING)

    with contextlib.suppress(InterruptedJobError):
        work.engine.start(check)
    try:
        return Slot(work, Receipts(supervisor)).run()
    except Exception:
        log.exception("The slot has failed; its messages are returned and it is replaced.")
        return FAILED
    finally:
        work.engine.close()


def _end(status: int) -> None:
    end = time.monotonic() + _LOG_SECONDS
    for thread in threading.enumerate():
        if thread.name == "job log":
            thread.join(max(0.0, end - time.monotonic()))
    sys.stdout.flush()
    # Not through the interpreter's end, which would wait for a log service that does not answer.
    os._exit(status)


if __name__ == "__main__":
    _end(main(sys.argv[1:]))
