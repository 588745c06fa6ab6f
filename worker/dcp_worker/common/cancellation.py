"""Interruptions of a job: the container stops, or the message belongs to another worker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from enum import Enum


class Interruption(Enum):
    """Why a job is interrupted through no fault of its own."""

    STOPPING = "the container is stopping"
    LEASE_LOST = "the worker lost the lease of the message"


class InterruptedJobError(Exception):
    """The job is interrupted."""

    def __init__(self, interruption: Interruption) -> None:
        super().__init__(interruption.value)
        self.interruption = interruption


# Called between and during the steps of a job; raises InterruptedJobError.
Check = Callable[[], None]

# Shares of the time between the order to stop and SIGKILL: deadlines for computing, for uploading,
# and for the exit of the slot.
COMPUTING = 0.75
PUBLISHING = 0.9
ALIVE = 0.95


class Stop:
    """The order to stop: the slot starts no new jobs; jobs that can finish in time may finish."""

    def __init__(self) -> None:
        self._ordered = math.inf
        self._seconds = math.inf
        self._draining = False

    def order(self, seconds: float) -> None:
        """Stop within `seconds`; a later order counts only if it leaves less time."""
        now = time.monotonic()
        if now + seconds < self._ordered + self._seconds:
            self._ordered, self._seconds = now, seconds

    def drain(self) -> None:
        """Start no new jobs; running jobs have all the time they need."""
        self._draining = True

    @property
    def ordered(self) -> bool:
        """Whether new jobs must not start."""
        return self._draining or self._seconds < math.inf

    def left(self, share: float) -> float:
        """Seconds until this share of the time has passed; infinite without an order."""
        return self._ordered + share * self._seconds - time.monotonic()
