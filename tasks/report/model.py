"""What a report says of a run as a whole."""

from dataclasses import asdict, dataclass, field
from typing import Any

from blocks.plurals import plural


@dataclass(frozen=True)
class Report:
    """What is told at the end of a run, and kept in `report.json`.

    Attributes:
        lost: Jobs without any result.
        note: Why the run ended before its jobs did.
        reasons: Number of failed and lost jobs by reason code, the most frequent first.
        problems: The result records of jobs that failed, and a line for each that is lost; the
            first ten thousand.
        problems_left_out: How many more there are; `table` has all.
        seconds: What succeeded jobs took, by pipeline: number of jobs, mean and percentiles of
            download, CellProfiler and upload together.
        slowest: The succeeded jobs that took longest.
        hours: From the begin of the run to its end.
        cost: What the machines have cost, and what of it is not known; None when the run never
            had a machine.
        image: The worker's image as it was named.
        image_digest: The same as the machines fetched it; "" when no container ran.
        table: Address of `report.csv`, once it is written.
    """

    app_name: str
    run_id: str
    submitted: int
    succeeded: int
    skipped: int
    failed: int
    lost: int
    note: str = ""
    reasons: dict[str, int] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    problems_left_out: int = 0
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    slowest: list[dict[str, Any]] = field(default_factory=list)
    hours: float = 0.0
    cost: dict[str, Any] | None = None
    image: str = ""
    image_digest: str = ""
    table: str = ""

    def as_json(self) -> dict[str, Any]:
        """The report as it is written to `report.json`."""
        return asdict(self)

    @property
    def complete(self) -> bool:
        """Whether every job succeeded or was skipped."""
        return self.failed == 0 and self.lost == 0

    @property
    def summary(self) -> str:
        """The counts in one line."""
        return (
            f"{plural(self.submitted, 'job')}: {self.succeeded} succeeded, {self.skipped} skipped, "
            f"{self.failed} failed, {self.lost} lost"
        )
