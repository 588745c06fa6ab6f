"""What one poll of the monitor observes of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tasks.cost.spend import UNKNOWN, Spend
from tasks.diagnosis.diagnose import FleetDiagnosis
from tasks.jobs.queues import QueueCounts
from tasks.jobs.results import Account


@dataclass(frozen=True)
class Observation:
    """What one poll observes.

    Attributes:
        at: Time of the poll.
        queue: Counts of the job queue; None if the queue does not exist.
        account: Where every job is.
        fleets: Number of the app's active fleets.
        target: Machines requested, by all of them.
        machines: Containers on each machine of the fleet; 0 where it has not joined the cluster.
        joined: The machines that have joined the cluster.
        desired: The service's desired count.
        running: The service's running count.
        says: The newest message of ECS about the service.
        findings: Diagnoses of machines and containers; requested while some are missing.
        alike: The reason for which all jobs that ended have failed; "" if there is no such reason.
        stale: Whether the account is from an earlier poll, since it takes many requests.
        spend: Cost of the run so far, as known after this poll was acted on.
    """

    at: datetime
    queue: QueueCounts | None
    account: Account
    fleets: int = 1
    target: int = 0
    machines: Mapping[str, int] = field(default_factory=dict)
    joined: frozenset[str] = frozenset()
    desired: int = 0
    running: int = 0
    says: str = ""
    findings: tuple[FleetDiagnosis, ...] = ()
    alike: str = ""
    stale: bool = False
    spend: Spend = UNKNOWN

    @property
    def left(self) -> int:
        """Jobs that are still to be done: by their results, and by the queue if those are stale."""
        left = len(self.account.open)
        if self.stale and self.queue is not None:
            return min(left, max(self.queue.total, 1))
        return left

    @property
    def in_queue(self) -> int:
        """Messages in the job queue."""
        return self.queue.total if self.queue else 0

    @property
    def broken(self) -> str:
        """Why no container can ever run with this configuration; "" if nothing says so."""
        ends = (str(one) for one in self.findings if one.level == "configuration")
        return next(ends, "")

    def counts(self) -> dict[str, int]:
        """Numbers of jobs by what they do now; an in-flight message counts as a running job."""
        found = self.account
        running = min(self.queue.in_flight, len(found.open)) if self.queue else 0
        return {
            "done": len(found.succeeded) + len(found.skipped),
            "running": running,
            "waiting": len(found.open) - running,
            "failed": len(found.failed),
        }

    def at_work(self, cores: int) -> int:
        """Jobs that containers are running, as far as is known.

        A worker also holds messages of jobs that it has not started, so the jobs running are never
        more than its CellProfilers.

        Args:
            cores: Jobs that a container runs at a time.
        """
        in_flight = self.queue.in_flight if self.queue else 0
        return min(in_flight, self.running * cores, self.left)
