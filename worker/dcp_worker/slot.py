"""A slot: one process that runs one job after another, until SIGTERM.

On SIGUSR1 (`FINISH`) it starts no new jobs, and exits when its jobs have finished, however long
they take.

While one job computes, the next is prefetched and the previous one is published, each on its own
thread.

The supervisor runs it as `python -m dcp_worker.slot NUMBER INSTANCE_ID PLUGINS` with a socket as
standard input. The slot writes the messages that it holds to the socket, as a line of JSON whenever
they change. When the socket closes, the supervisor is gone.
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

# The signal to start no new jobs.
FINISH = signal.SIGUSR1
# Exit status of a slot on an unfit machine; the supervisor does not replace it.
UNFIT = 3
# Folder beside the slots' folders, shared by all slots.
CACHE = "cache"
_LOG_SECONDS = 3
# Outside a container, a slot outlives its supervisor by this long.
_ORPHAN_SECONDS = 10
FAILED = 1


class Receipts:
    """Reports the messages that the slot holds to the supervisor."""

    def __init__(self, supervisor: socket.socket) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._receipts: list[str] = []

    def changed(self, held: Held, at_hand: bool) -> None:
        """Report that a message was received, or is settled."""
        with self._lock:
            (self._receipts.append if at_hand else self._receipts.remove)(held.received.receipt)
            with contextlib.suppress(OSError):  # supervisor gone: _leave_with ends the slot
                self._supervisor.sendall(json.dumps(self._receipts).encode() + b"\n")


class Slot:
    """Computes the jobs of its intake, and publishes their outputs on a thread."""

    def __init__(self, work: Workplace, receipts: Receipts) -> None:
        self._work = work
        self._intake = Intake(work, receipts.changed)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="slot")
        self._publishing: Future[None] | None = None

    def run(self) -> int:
        """Run jobs until stopped, even if the queue is empty; returns the exit status."""
        work = self._work
        intake = self._threads.submit(self._intake.run)
        try:
            while not work.stop.ordered and not work.fitness.reason and not intake.done():
                held = self._intake.take()
                if held is not None and held.compute():
                    self._publish(held)
        except Exception:
            # The slot's other jobs end as on SIGTERM, so that this costs them no attempt.
            work.stop.order(work.settings.stop_seconds)
            raise
        finally:
            wait([intake, *([self._publishing] if self._publishing else [])])
        intake.result()
        if self._publishing is not None:
            self._publishing.result()
        if work.fitness.reason:
            log.error("This slot takes no more jobs: %s", work.fitness.reason)
            return UNFIT
        return 0

    def _publish(self, held: Held) -> None:
        """Publish after the previous job, so that the disk holds outputs of at most two jobs."""
        before = self._publishing
        if before is not None:
            wait([before])
        self._publishing = self._threads.submit(held.publish)
        if before is not None:
            before.result()  # raised only now: an error there must not cost this job its outputs


def _leave_with(supervisor: socket.socket, work: Workplace) -> None:
    """Stop the slot when the supervisor dies and its end of the socket closes."""
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
    """Run a slot with the supervisor's arguments; returns the exit status."""
    number, instance_id, plugins = arguments
    logs.to_stdout(f"slot {number}")
    work = _workplace(int(number), instance_id, plugins)
    remove(work.folder)  # left by a slot that died during a job
    work.folder.mkdir()
    # If CellProfiler is killed during its start, it leaves files only in this folder.
    os.environ["TMPDIR"] = str(work.folder)
    supervisor = socket.socket(fileno=0)

    def stop(number: int, frame: FrameType | None) -> None:
        work.stop.order(work.settings.stop_seconds)
        # At the deadline the kernel ends the slot, and the supervisor returns its messages.
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
        log.exception("The slot failed; the supervisor returns its messages and replaces it.")
        return FAILED
    finally:
        work.engine.close()


def _end(status: int) -> None:
    end = time.monotonic() + _LOG_SECONDS
    for thread in threading.enumerate():
        if thread.name == "job log":
            thread.join(max(0.0, end - time.monotonic()))
    sys.stdout.flush()
    # A normal exit of the interpreter would wait for a log service that does not answer.
    os._exit(status)


if __name__ == "__main__":
    _end(main(sys.argv[1:]))
