"""How tests wait: for what happens, and for no time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LOOKS, PAUSE = 6000, 0.05


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds.

    Looks are counted, not seconds: a busy machine is given more time. Between two looks there is a
    pause at least as long as the first one took, so that looking takes no more than half a core.

    Args:
        condition: What is awaited.
        what: The same in words, for the message of the failure.

    Returns:
        The condition's first true value.
    """
    for _ in range(LOOKS):
        began = time.monotonic()
        if value := condition():
            return value
        time.sleep(max(PAUSE, time.monotonic() - began))
    raise AssertionError(f"still waiting after {LOOKS} looks for {what}")
