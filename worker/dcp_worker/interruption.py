"""What ends a job before its time: the container is stopped, or the message is no longer ours."""

from __future__ import annotations

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
