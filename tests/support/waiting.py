"""Waiting in tests: for conditions, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LOOKS = 1200
PAUSE, LONGEST_PAUSE, GROWTH = 0.05, 0.5, 1.02  # seconds between two checks, and their growth
SHARE = 9  # a pause lasts at least this many times as long as the check before it


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds.

    It counts checks, not seconds, so that a busy computer gets more time. The pauses grow, and are
    long compared with a check, which also costs the servers time that parallel tests need.

    Args:
        condition: The condition.
        what: The expected event in words, for the error message.

    Returns:
        The condition's first true value.
    """
    pause = PAUSE
    for _ in range(LOOKS):
        began = time.monotonic()
        if value := condition():
            return value
        time.sleep(max(pause, SHARE * (time.monotonic() - began)))
        pause = min(LONGEST_PAUSE, pause * GROWTH)
    raise AssertionError(f"still waiting after {LOOKS} checks for {what}")
