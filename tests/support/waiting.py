"""How tests wait: for what happens, and for no time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LOOKS = 1200
PAUSE, LONGEST_PAUSE, GROWTH = 0.05, 0.5, 1.02  # seconds between two looks, and how they grow
SHARE = 9  # a pause lasts at least this many times as long as the look before it


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds.

    Looks are counted, not seconds: a busy machine gets more time. The pauses between them grow, and
    are long against a look, which takes the time of a server too: the tests beside need it.

    Args:
        condition: What is awaited.
        what: The same in words, for the message of the failure.

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
    raise AssertionError(f"still waiting after {LOOKS} looks for {what}")
