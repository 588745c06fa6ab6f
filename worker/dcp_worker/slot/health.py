"""Whether a slot's machine is fit for work: one bad machine must not eat a queue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcp_worker.diagnosis.diagnose import Diagnosis

_FIRST_REST = 15.0
_LONGEST_REST = 300.0
_FIRST_JOBS = 3
# S3 may be out of reach for a while, for every machine alike: that is no reason to end one.
_OF_THE_NETWORK = ("s3_unreachable",)


def rest(faults: int) -> float:
    """Seconds without a job after so many jobs in a row that failed by the machine's fault.

    A machine without a way to S3 fails a job a second, and would fail a whole queue for ever while
    sound machines are busy.
    """
    return float(min(_LONGEST_REST, _FIRST_REST * 2.0 ** min(faults - 1, 10))) if faults else 0.0


def unfit(diagnosis: Diagnosis, faults: int, succeeded: bool) -> bool:
    """Whether a slot stops for good after a job that failed by the machine's fault.

    Args:
        diagnosis: Of that job.
        faults: So many in a row, this one included.
        succeeded: A job has succeeded in this slot before.
    """
    if diagnosis.code == "disk_full":
        return True  # its own files are gone after each job: the next one finds no more room
    return diagnosis.code not in _OF_THE_NETWORK and not succeeded and faults >= _FIRST_JOBS


class Fitness:
    """What the jobs of a slot have told about its machine."""

    def __init__(self) -> None:
        self._faults = 0
        self._succeeded = False
        self._rested = 0.0
        self.reason = ""

    def note(self, diagnosis: Diagnosis | None) -> None:
        """Take the end of a job: its diagnosis, or None when it did not fail."""
        if diagnosis is None or not diagnosis.of_machine:
            self._faults = 0
            self._succeeded = self._succeeded or diagnosis is None
            return
        self._faults += 1
        self._rested = time.monotonic() + rest(self._faults)
        if unfit(diagnosis, self._faults, self._succeeded):
            self.reason = f"{diagnosis.code}: {diagnosis.text}"

    @property
    def resting(self) -> bool:
        """No job is taken for now."""
        return time.monotonic() < self._rested
