"""One poll of a run: queue, results, fleet and containers, in few calls for a run of any size.

A poll reads the queue's URL and counts, the service, the container instances (100 per page), and
each fleet's target and machines. Results are listed 1000 per page; if there are many, not at every
poll.
"""

import json
from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.aws.concurrency import in_order
from tasks.fleet.base import Fleet
from tasks.fleet.instances import tasks_by_machine
from tasks.jobs.queues import QueueCounts, count, find_queue
from tasks.jobs.results import Account, account
from tasks.monitor.observation import Observation
from tasks.monitor.trackers import Memory
from tasks.resources.ecs import find_service
from tasks.runs import record
from tasks.runs.limits import Limits
from tasks.runs.run import Run

PAGE = 1000  # keys of a listing (S3, ListObjectsV2)
LISTED_EVERY = timedelta(
    seconds=3
)  # per page: 10,000 results at every poll, a million every 50 minutes
PARALLEL = 8


@dataclass
class Followed:
    """The jobs of a run, tracked from poll to poll by one process.

    Attributes:
        ids: The ids of the jobs.
        account: Their statuses when the results were last listed.
        listed_at: Time of that listing.
    """

    ids: Set[str]
    account: Account | None = None
    listed_at: datetime | None = None

    def look(self, run: Run, queue: QueueCounts | None, at: datetime) -> tuple[Account, bool]:
        """The status of every job, and whether it is from an earlier poll.

        When few messages remain, results are listed more often, to terminate idle machines soon.
        """
        if self.account is not None and self.listed_at is not None and queue is not None:
            pages = self.account.ended / PAGE
            near = queue.total * 10 <= len(self.ids) or queue.total == 0
            if at - self.listed_at < pages * LISTED_EVERY * (0.1 if near else 1) and queue.total:
                return self.account, True
        self.account, self.listed_at = account(run, self.ids), at
        return self.account, False


def observe(
    run: Run, fleets: list[Fleet], jobs: Followed, limits: Limits, memory: Memory
) -> Observation:
    """Poll the run.

    Args:
        run: The run.
        fleets: Its fleets.
        jobs: Its jobs.
        limits: The run's size.
        memory: The monitor's state after the poll before.
    """
    at = datetime.now(UTC)
    url = find_queue(run.aws.sqs, run.names.queue)
    # The queue is read before the results, so that a job that ends in between is counted in both,
    # never in neither.
    queue = count(run.aws.sqs, url) if url else None
    found, stale = jobs.look(run, queue, at)
    service = find_service(run)
    joined = tasks_by_machine(run)
    machines = [machine for fleet in fleets for machine in fleet.machines()]
    events = service["events"] if service else []
    return Observation(
        at=at,
        queue=queue,
        account=found,
        fleets=len(fleets),
        target=sum(fleet.target() for fleet in fleets),
        machines={machine: joined.get(machine, 0) for machine in machines},
        joined=frozenset(joined) & frozenset(machines),
        desired=service["desiredCount"] if service else 0,
        running=service["runningCount"] if service else 0,
        says=events[0].get("message", "") if events else "",
        alike="" if memory.alike_failures.mixed else alike(run, found, limits.alike_failures),
        stale=stale,
    )


def alike(run: Run, found: Account, enough: int) -> str:
    """The reason for which all ended jobs failed, if enough have ended.

    Args:
        run: The run.
        found: The statuses of the jobs.
        enough: How many must have ended, and how many records to read; 0: never.

    Returns:
        The reason in words; "" if a job ended otherwise, or too few have ended.
    """
    if not 0 < enough <= len(found.failed) or found.succeeded or found.skipped:
        return ""
    names = [record.result("failed", one) for one in sorted(found.failed)[:enough]]
    texts = in_order(lambda name: record.read(run, name), names, PARALLEL, "failures")
    told = [json.loads(text) for text in texts if text]
    if len({one.get("reason") for one in told}) != 1:
        return ""
    return f"{told[0].get('reason')}: {told[0].get('reason_text')}"
