"""What ends a job before its time: the container is stopped, or the message is no longer ours."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from enum import Enum


class Interruption(Enum):
    """Why a job is given up, by no fault of its own."""

    STOPPING = "the container is being stopped"
    LEASE_LOST = "its message is no longer this worker's"


class InterruptedJobError(Exception):
    """The job is given up."""

    def __init__(self, interruption: Interruption) -> None:
        super().__init__(interruption.value)
        self.interruption = interruption


# Called between the steps of a job and while one is waited for; raises InterruptedJobError.
Check = Callable[[], None]

# Shares of the time between the order to stop and the end by force: until when a job may compute,
# be uploaded, and its slot be alive.
COMPUTING = 0.75
PUBLISHING = 0.9
ALIVE = 0.95


class Stop:
    """The order to stop: nothing new is begun, and what can end in time may end."""

    def __init__(self) -> None:
        self._ordered = math.inf
        self._seconds = math.inf
        self._finishing = False

    def order(self, seconds: float) -> None:
        """Stop within so many seconds; a later order counts when it leaves less time."""
        now = time.monotonic()
        if now + seconds < self._ordered + self._seconds:
            self._ordered, self._seconds = now, seconds

    def finish(self) -> None:
        """Begin nothing new; what has begun has all the time it needs."""
        self._finishing = True

    @property
    def ordered(self) -> bool:
        """Whether nothing new may be begun."""
        return self._finishing or self._seconds < math.inf

    def left(self, share: float) -> float:
        """Seconds until that share of the time has passed; infinite without an order."""
        return self._ordered + share * self._seconds - time.monotonic()
