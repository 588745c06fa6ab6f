"""What the jobs of a run took, gathered while their rows go by. Pure."""

import heapq
from array import array
from collections import Counter
from dataclasses import dataclass, field

from tasks.jobs.wells import Position, position
from tasks.report.job_table import JobRow

SLOWEST = 10
PERCENTILES = (10, 50, 90)
WORST_LAST = ("succeeded", "skipped", "lost", "failed")
"""A well with several jobs has the status of the worst of them."""


@dataclass
class Well:
    """The jobs of one well.

    Attributes:
        status: The worst of them.
        jobs: How many they are.
        seconds: What the succeeded ones took, together.
        succeeded: How many of them succeeded.
    """

    status: str = WORST_LAST[0]
    jobs: int = 0
    seconds: float = 0.0
    succeeded: int = 0

    def add(self, row: JobRow) -> None:
        """Count a job in."""
        self.status = max(self.status, row.status, key=WORST_LAST.index)
        self.jobs += 1
        if row.status == "succeeded":
            self.seconds += row.seconds
            self.succeeded += 1


Plate = dict[Position, Well]


@dataclass
class Figures:
    """The figures of a run; a few bytes a job.

    Attributes:
        reasons: Number of failed and lost jobs by reason.
        plates: The wells of each plate; groups that are of no well are in none.
    """

    reasons: Counter[str] = field(default_factory=Counter)
    plates: dict[str, Plate] = field(default_factory=dict)
    _seconds: dict[str, "array[float]"] = field(default_factory=dict)
    _slowest: list[tuple[float, int, JobRow]] = field(default_factory=list)
    _count: int = 0

    def add(self, row: JobRow) -> None:
        """Count a job in."""
        self._count += 1
        if row.status in ("failed", "lost"):
            self.reasons[row.reason] += 1
        if row.status == "succeeded":
            self._seconds.setdefault(row.pipeline, array("f")).append(row.seconds)
            entry = (row.seconds, -self._count, row)
            if len(self._slowest) < SLOWEST:
                heapq.heappush(self._slowest, entry)
            else:
                heapq.heappushpop(self._slowest, entry)
        at = position(row.well)
        if at is not None:
            self.plates.setdefault(row.plate, {}).setdefault(at, Well()).add(row)

    @property
    def slowest(self) -> list[JobRow]:
        """The succeeded jobs that took longest, the longest first."""
        return [row for _, _, row in sorted(self._slowest, reverse=True)]

    def seconds(self) -> dict[str, dict[str, float]]:
        """Seconds of the succeeded jobs by pipeline: number of jobs, mean and percentiles."""
        return {pipeline: summary(taken) for pipeline, taken in self._seconds.items()}


def summary(taken: "array[float]") -> dict[str, float]:
    """Number, mean and percentiles (nearest rank) of some seconds, at least one."""
    ordered = sorted(taken)
    ranks = {
        f"p{percent}": ordered[-(-len(ordered) * percent // 100) - 1] for percent in PERCENTILES
    }
    numbers = {"mean": sum(ordered) / len(ordered)} | ranks
    return {"jobs": len(ordered)} | {name: round(value, 3) for name, value in numbers.items()}
