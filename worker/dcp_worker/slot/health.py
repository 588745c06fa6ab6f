"""Whether a slot's machine is fit for work: one faulty machine must not fail a whole queue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcp_worker.diagnosis.diagnose import Diagnosis

_FIRST_PAUSE = 15.0
_LONGEST_PAUSE = 300.0
_FIRST_JOBS = 3
# S3 may be unreachable for all machines at once: that is no reason to replace one.
_NETWORK_REASONS = ("s3_unreachable",)


def pause_seconds(faults: int) -> float:
    """Seconds to pause after `faults` jobs in a row failed through the machine's fault.

    A machine that cannot reach S3 fails one job per second: without a pause it would fail a whole
    queue while healthy machines are busy.
    """
    return float(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(faults - 1, 10))) if faults else 0.0


def is_unfit(diagnosis: Diagnosis, faults: int, succeeded: bool) -> bool:
    """Whether a slot stops for good after a job failed through the machine's fault.

    Args:
        diagnosis: Diagnosis of that job.
        faults: Number of such failures in a row, including this one.
        succeeded: Whether a job has succeeded in this slot before.
    """
    if diagnosis.code == "disk_full":
        return True  # the job's files are already removed: the next job would have no more space
    return diagnosis.code not in _NETWORK_REASONS and not succeeded and faults >= _FIRST_JOBS


class MachineHealth:
    """The health of a slot's machine, judged by the slot's jobs."""

    def __init__(self) -> None:
        self._faults = 0
        self._succeeded = False
        self._paused_until = 0.0
        self.reason = ""

    def record(self, diagnosis: Diagnosis | None) -> None:
        """Record the end of a job: its diagnosis, or None if it did not fail."""
        if diagnosis is None or not diagnosis.of_machine:
            self._faults = 0
            self._succeeded = self._succeeded or diagnosis is None
            return
        self._faults += 1
        self._paused_until = time.monotonic() + pause_seconds(self._faults)
        if is_unfit(diagnosis, self._faults, self._succeeded):
            self.reason = f"{diagnosis.code}: {diagnosis.text} {diagnosis.remedy}"

    @property
    def pausing(self) -> bool:
        """Whether the slot takes no jobs for now."""
        return time.monotonic() < self._paused_until
