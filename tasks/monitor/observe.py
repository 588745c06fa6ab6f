"""A look at a run: queue, results, fleet and containers, in few calls whatever its size.

A look takes the queue's URL and counts, the service, the container instances (a page a hundred),
and of each fleet its target and its machines. Results are listed, a thousand a page: where they
are many, not at every look.
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
LISTED_EVERY = timedelta(seconds=3)  # a page: 10,000 results every look, a million every 50 minutes
PARALLEL = 8


@dataclass
class Followed:
    """The jobs of a run, followed from look to look by one process.

    Attributes:
        ids: The ids of the jobs.
        account: Where each was when the results were last listed.
        listed_at: When that was.
    """

    ids: Set[str]
    account: Account | None = None
    listed_at: datetime | None = None

    def look(self, run: Run, queue: QueueCounts | None, at: datetime) -> tuple[Account, bool]:
        """Where every job is, and whether that is of an earlier look.

        Few messages are left: then each result counts, for machines are to be ended.
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
    """Look at the run.

    Args:
        run: The run.
        fleets: Its fleets.
        jobs: Its jobs.
        limits: The run's size.
        memory: Of the look before this one.
    """
    at = datetime.now(UTC)
    url = find_queue(run.aws.sqs, run.names.queue)
    # The queue is read before the results: a job that ends between the two is then seen in both,
    # and never in neither.
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
    """The reason that all jobs have failed for which ended, when there are enough of them.

    Args:
        run: The run.
        found: Where every job is.
        enough: So many; as many records are read. 0: never.

    Returns:
        The reason in words; "" when a job came to another end, or too few have ended.
    """
    if not 0 < enough <= len(found.failed) or found.succeeded or found.skipped:
        return ""
    names = [record.result("failed", one) for one in sorted(found.failed)[:enough]]
    texts = in_order(lambda name: record.read(run, name), names, PARALLEL, "failures")
    told = [json.loads(text) for text in texts if text]
    if len({one.get("reason") for one in told}) != 1:
        return ""
    return f"{told[0].get('reason')}: {told[0].get('reason_text')}"
