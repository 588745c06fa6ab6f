"""Watches for EC2's Spot interruption notice, two minutes before the machine ends.

Source: "Spot Instance interruption notices", Amazon EC2 User Guide, which advises polling every
five seconds. A rebalance recommendation does not count: the machine may run on for hours.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping

from dcp_worker.machine.instance_metadata import UNANSWERED, InstanceMetadata

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
_NOTICE = "spot/instance-action"


def watch(
    environment: Mapping[str, str],
    notified: Callable[[str], None],
    poll_seconds: float = POLL_SECONDS,
) -> threading.Thread:
    """Start a daemon thread that polls for the notice.

    Args:
        environment: Contains the address of the instance metadata service (see
            `instance_metadata.InstanceMetadata`).
        notified: Called once, from the thread, with a text for the log; the thread then ends.
        poll_seconds: Interval between polls.

    Returns:
        The thread; it ends by itself only after the notice.
    """
    thread = threading.Thread(
        target=_watch,
        args=(InstanceMetadata(environment), notified, poll_seconds),
        name="spot notice",
        daemon=True,
    )
    thread.start()
    return thread


def _watch(
    metadata: InstanceMetadata, notified: Callable[[str], None], poll_seconds: float
) -> None:
    pause = threading.Event()
    answered = True
    while True:
        try:
            notice = metadata.get(_NOTICE)
            answered = True
        except UNANSWERED as error:
            if answered:
                log.warning("Cannot watch for Spot interruptions: %s", error)
            notice, answered = None, False
        if notice is not None:
            notified(describe(notice))
            return
        pause.wait(poll_seconds)


def describe(notice: str) -> str:
    """Describe a notice (`{"action": "terminate", "time": "2026-01-31T12:00:00Z"}`) in words."""
    try:
        document = json.loads(notice)
        action, time = document["action"], document["time"]
    except (ValueError, KeyError, TypeError):  # the notice counts, whatever its form
        action, time = "reclaim", "an unknown time"
    return f"Spot interruption: EC2 will {action} this machine at {time}."
