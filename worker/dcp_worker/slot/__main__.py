"""The process of a slot, which runs jobs until SIGTERM.

On SIGUSR1 (`DRAIN`) it starts no new jobs, and exits when its jobs have finished, however long
they take.

The supervisor runs it as `python -m dcp_worker.slot NUMBER INSTANCE_ID PLUGINS` with a socket as
standard input. The slot writes the messages that it holds to the socket, as a line of JSON whenever
they change. When the socket closes, the supervisor is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker.cellprofiler.engine import Engine
from dcp_worker.common import container_log
from dcp_worker.common.aws_clients import Clients
from dcp_worker.common.cancellation import ALIVE, InterruptedJobError, Interruption
from dcp_worker.common.folders import remove_folder
from dcp_worker.common.settings import Settings
from dcp_worker.inputs.sources import Sources
from dcp_worker.jobs.queue import Queue
from dcp_worker.slot.context import SlotContext
from dcp_worker.slot.slot import CACHE_FOLDER, DRAIN, HeldReceipts, Slot

if TYPE_CHECKING:
    from types import FrameType

log = logging.getLogger("dcp_worker.slot")

_LOG_SECONDS = 3
# Outside a container, a slot outlives its supervisor by this long.
_ORPHAN_SECONDS = 10
FAILED = 1


def _leave_with(supervisor: socket.socket, context: SlotContext) -> None:
    """Stop the slot when the supervisor dies and its end of the socket closes."""
    with contextlib.suppress(OSError):
        supervisor.recv(1)
    context.stop.order(_ORPHAN_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _context(number: int, instance_id: str, plugins: str) -> SlotContext:
    settings = Settings.from_environment(os.environ)
    clients = Clients.of(settings.aws_region)
    here = Path.cwd()
    plugins_folder = Path(plugins) if plugins else None
    return SlotContext(
        settings=settings,
        clients=clients,
        queue=Queue(clients.sqs, settings.sqs_queue_url, settings.sqs_dead_letter_queue_url),
        sources=Sources.of(settings, clients, here / CACHE_FOLDER, not settings.download_files),
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
    container_log.to_stdout(f"slot {number}")
    context = _context(int(number), instance_id, plugins)
    remove_folder(context.folder)  # left by a slot that died during a job
    context.folder.mkdir()
    # If CellProfiler is killed during its start, it leaves files only in this folder.
    os.environ["TMPDIR"] = str(context.folder)
    supervisor = socket.socket(fileno=0)

    def stop(number: int, frame: FrameType | None) -> None:
        context.stop.order(context.settings.stop_seconds)
        # At the deadline the kernel ends the slot, and the supervisor returns its messages.
        signal.setitimer(signal.ITIMER_REAL, max(0.1, context.stop.left(ALIVE)))

    for order in (signal.SIGTERM, signal.SIGINT):
        signal.signal(order, stop)
    signal.signal(DRAIN, lambda number, frame: context.stop.drain())
    threading.Thread(target=_leave_with, args=(supervisor, context), daemon=True).start()

    def check() -> None:
        if context.stop.ordered:
            raise InterruptedJobError(Interruption.STOPPING)

    with contextlib.suppress(InterruptedJobError):
        context.engine.start(check)
    try:
        return Slot(context, HeldReceipts(supervisor)).run()
    except Exception:
        log.exception("The slot failed; the supervisor returns its messages and replaces it.")
        return FAILED
    finally:
        context.engine.close()


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
