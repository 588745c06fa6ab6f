"""The notice that EC2 takes a Spot machine back: it comes two minutes before the end.

Source: "Spot Instance interruption notices", Amazon EC2 User Guide, which advises to look every
five seconds. A rebalance recommendation is no notice: the machine may live on for hours.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping

from dcp_worker.machine.instance_metadata import UNANSWERED, Metadata

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
_NOTICE = "spot/instance-action"


def watch(
    environment: Mapping[str, str],
    notified: Callable[[str], None],
    look_seconds: float = LOOK_SECONDS,
) -> threading.Thread:
    """Look for the notice from now on, in a thread that ends with the process.

    Args:
        environment: Where the instance metadata service is found, as for
            `instance_metadata.Metadata`.
        notified: Called once, from that thread, with a text for the log; the watch is over then.
        look_seconds: Between two looks, in seconds.

    Returns:
        The thread; it ends by itself only after the notice.
    """
    thread = threading.Thread(
        target=_watch,
        args=(Metadata(environment), notified, look_seconds),
        name="spot notice",
        daemon=True,
    )
    thread.start()
    return thread


def _watch(metadata: Metadata, notified: Callable[[str], None], look_seconds: float) -> None:
    pause = threading.Event()
    answered = True
    while True:
        try:
            notice = metadata.get(_NOTICE)
            answered = True
        except UNANSWERED as error:
            if answered:
                log.warning("A Spot interruption would not be noticed: %s", error)
            notice, answered = None, False
        if notice is not None:
            notified(describe(notice))
            return
        pause.wait(look_seconds)


def describe(notice: str) -> str:
    """A notice, `{"action": "terminate", "time": "2026-01-31T12:00:00Z"}`, in words."""
    try:
        told = json.loads(notice)
        action, time = told["action"], told["time"]
    except (ValueError, KeyError, TypeError):  # the notice counts, whatever its form
        action, time = "take", "an unknown time"
    return f"EC2 interrupts this Spot machine: it will {action} it at {time}."
