"""What to do about what a look at a run has seen: pure decisions.

A look makes an `Observation`; `remember` adds what must be known of earlier ones; `decide` says
what to do. Nothing here calls AWS, so the benchmark of the fleet runs the very same code in
virtual time (benchmarks/fleet.py).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tasks.diagnosis import Diagnosis
from tasks.limits import START_SECONDS, Limits, containers_needed, machines_needed, useful_machines
from tasks.queues import QueueCounts
from tasks.results import Account
from tasks.spending import UNKNOWN, Spend

EMPTY_LOOKS = 3  # SQS counts approximately: so many empty looks in a row before it is believed
LOST_LOOKS = 10  # and so many, over so long a time, before jobs without a result are called lost
LOST_AFTER = timedelta(minutes=5)  # the counts may lag by a minute (SQS, GetQueueAttributes)
IDLE_LIMIT = timedelta(minutes=30)  # jobs wait, machines are there, and no container runs
USELESS_LIMIT = timedelta(minutes=12)  # a machine without a container, while some wait for one
ALONE_LIMIT = timedelta(minutes=5)  # a fleet that was just requested may not be listed yet
CHEAPEST_AFTER = timedelta(minutes=15)  # as in DCP's cheapest mode
TAIL_SECONDS = 15.0  # between looks once no job waits: machines come free, and each minute costs
STALL_LEAST = timedelta(hours=1)
STALL_JOBS = 10  # so many times what a job takes
FINISH_JOBS = 3  # and so many before the end, nothing new is begun
FINISH_MOST = 0.1  # of max_hours, at most
ENDED_ENOUGH = 10  # jobs, before what they took is believed
OVER_BUDGET = 1.1  # of max_cost: what still runs is broken off


@dataclass(frozen=True)
class Observation:
    """What one look sees.

    Attributes:
        at: When.
        queue: The job queue's counts; None when there is no queue.
        account: Where every job is.
        fleets: Fleets of the app that have not ended.
        target: Machines asked for, by all of them.
        machines: Containers on each machine of the fleet; 0 where it has not joined the cluster.
        joined: The machines that have joined the cluster.
        desired: Containers that the service is to keep.
        running: Containers that run.
        says: The newest message of ECS about the service.
        findings: What is wrong with machines and containers; asked while some are missing.
        alike: The reason for which all jobs that ended have failed; "" when there is no such.
        stale: Whether the account is of an earlier look, since it takes many requests.
        spend: What the run has cost, as known after what was done about this look.
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
    findings: tuple[Diagnosis, ...] = ()
    alike: str = ""
    stale: bool = False
    spend: Spend = UNKNOWN

    @property
    def left(self) -> int:
        """Jobs that are to be done: by their results, and by the queue where those are old."""
        left = len(self.account.open)
        if self.stale and self.queue is not None:
            return min(left, max(self.queue.total, 1))
        return left

    @property
    def broken(self) -> str:
        """Why no container can ever run as things are; "" when nothing says so."""
        ends = (str(one) for one in self.findings if one.level == "configuration")
        return next(ends, "")

    def at_work(self, cores: int) -> int:
        """Jobs that containers work on, as far as is known.

        A worker also holds messages that it has not begun: no more can be at work than it has
        CellProfilers.

        Args:
            cores: Jobs that a container works on at a time.
        """
        in_flight = self.queue.in_flight if self.queue else 0
        return min(in_flight, self.running * cores, self.left)


@dataclass(frozen=True)
class Memory:
    """What is remembered from look to look.

    Attributes:
        at: When the last look was.
        empty_looks: How often in a row the queue was empty while jobs had no result.
        empty_since: Since when that is so.
        idle_since: Since when jobs wait and machines are there, but no container runs.
        alone_since: Since when there is no fleet.
        machines_since: When the first machine was seen.
        useless: Since when a machine has no container, while containers wait for a machine.
        first_ended: Jobs that had ended at the first look.
        ended: Jobs that had ended at the last one.
        in_queue: Messages in the queue then.
        progress_at: When a job was last seen to end, or work to begin.
        work_seconds: Time that jobs were at work since the first look, of all together.
        spent: What the machines have cost since the run began or was continued, in USD; None when
            it is not known.
        usd_an_hour: What they cost now, in USD an hour.
        mixed: Whether jobs came to different ends, so that nothing is to be made of failures.
        finishing: Why nothing new is begun; "" when it is.
        quiet_looks: How often in a row nothing was at work while finishing.
        told: Names of the events that Prefect was told.
    """

    at: datetime | None = None
    empty_looks: int = 0
    empty_since: datetime | None = None
    idle_since: datetime | None = None
    alone_since: datetime | None = None
    machines_since: datetime | None = None
    useless: Mapping[str, datetime] = field(default_factory=dict)
    first_ended: int = 0
    ended: int = 0
    in_queue: int = 0
    progress_at: datetime | None = None
    work_seconds: float = 0.0
    spent: float | None = None
    usd_an_hour: float = 0.0
    mixed: bool = False
    finishing: str = ""
    quiet_looks: int = 0
    told: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Decision:
    """What to do.

    Attributes:
        done: The run is over: every job has a result, or `stop` says why not.
        stop: Why the run ends before its jobs do; "" when it does not.
        lost: The jobs without a result are in no queue either: there is nothing to go on with.
        claim: Look for open jobs in the dead-letter queue.
        desired: Containers to ask the service for; None to leave it.
        target: Machines to ask the fleet for, without terminating any; None to leave it.
        terminate: Machines to end: none of them has a container.
        finish: Why workers begin nothing new from now on; "" when they do.
        look_after: Seconds to the next look.
    """

    done: bool = False
    stop: str = ""
    lost: bool = False
    claim: bool = False
    desired: int | None = None
    target: int | None = None
    terminate: frozenset[str] = frozenset()
    finish: str = ""
    look_after: float = 60.0


def remember(seen: Observation, memory: Memory, limits: Limits) -> Memory:
    """What the next look must know."""
    empty = bool(seen.account.open) and (seen.queue is None or seen.queue.total == 0)
    waiting = seen.queue.waiting if seen.queue else 0
    # Machines cost money; without any, the run only waits for capacity.
    idle = waiting > 0 and len(seen.machines) > 0 and not seen.running
    since = max((seen.at - (memory.at or seen.at)).total_seconds(), 0.0)
    at_work, in_queue = seen.at_work(limits.cores), seen.queue.total if seen.queue else 0
    ended = seen.account.ended
    news = ended > memory.ended or in_queue < memory.in_queue or not at_work
    wanting = seen.running < seen.desired
    return Memory(
        at=seen.at,
        empty_looks=memory.empty_looks + 1 if empty else 0,
        empty_since=(memory.empty_since or seen.at) if empty else None,
        idle_since=(memory.idle_since or seen.at) if idle else None,
        alone_since=None if seen.fleets else memory.alone_since or seen.at,
        machines_since=memory.machines_since or (seen.at if seen.machines else None),
        useless={
            machine: memory.useless.get(machine, seen.at)
            for machine, containers in sorted(seen.machines.items())
            # On one that has joined something is wrong only if others have theirs.
            if wanting and not containers and (seen.running or machine not in seen.joined)
        },
        first_ended=ended if memory.at is None else memory.first_ended,
        ended=ended,
        in_queue=in_queue,
        progress_at=seen.at if news or memory.at is None else memory.progress_at,
        work_seconds=memory.work_seconds + at_work * since,
        spent=memory.spent,
        usd_an_hour=memory.usd_an_hour,
        mixed=memory.mixed or bool(0 < limits.alike_failures <= ended and not seen.alike),
        finishing=memory.finishing,
        quiet_looks=memory.quiet_looks + 1 if memory.finishing and not at_work else 0,
        told=memory.told,
    )


def paid(memory: Memory, spend: Spend, before: float = 0.0) -> Memory:
    """The same with what was spent; what is not known now was at least what it was before.

    Args:
        memory: As it is.
        spend: What the run has cost.
        before: What of it was before the run was continued, in USD: `max_cost` counts anew.
    """
    if spend.usd is None:
        return memory
    return replace(memory, spent=spend.usd - before, usd_an_hour=spend.usd_an_hour)


def seconds_per_job(seen: Observation, limits: Limits, memory: Memory) -> float | None:
    """What a job takes, in seconds: as seen in this run, else as expected; None when not known.

    Those at work are half done on average, so each counts as half a job for the time it has had.
    """
    ended = memory.ended - memory.first_ended
    if ended < ENDED_ENOUGH or not memory.work_seconds:
        return limits.seconds_per_job
    return memory.work_seconds / (ended + seen.at_work(limits.cores) / 2)


def decide(seen: Observation, limits: Limits, memory: Memory) -> Decision:
    """Decide what to do about what was seen (pure).

    Scaling in is ECS's choice of containers, and it spares those that work, since a worker
    protects itself while it has a job (Amazon ECS Developer Guide, "Task scale-in protection").
    Only machines without any container are then ended, so no job is ever broken off.

    Args:
        seen: This look.
        limits: The run's size and end.
        memory: As `remember` made it of this look.
    """
    if not seen.account.open:
        return Decision(done=True)
    empty_for = seen.at - (memory.empty_since or seen.at)
    if memory.empty_looks >= LOST_LOOKS and empty_for >= LOST_AFTER:
        why = "jobs without a result are neither in the queue nor in the dead-letter queue"
        return Decision(done=True, stop=why, lost=True)
    stop = _stop(seen, limits, memory)
    if stop:
        return Decision(done=True, stop=stop)
    claim = memory.empty_looks >= EMPTY_LOOKS
    finish = memory.finishing or _finish(seen, limits, memory)
    if finish:
        return _wind_down(seen, limits, memory, finish, claim)
    return _scale(seen, limits, memory, claim)


def _stop(seen: Observation, limits: Limits, memory: Memory) -> str:
    """Why the run must end now, whatever runs; "" when it need not."""
    if seen.at >= limits.ends_at:
        return memory.finishing or "the run has reached its max_hours"
    if _over(limits, memory, OVER_BUDGET):
        return memory.finishing or f"the run has cost more than its max_cost: {_money(memory)}"
    if seen.broken:
        return seen.broken
    if memory.idle_since is not None and seen.at - memory.idle_since >= IDLE_LIMIT:
        return (
            f"jobs wait on machines, and no container ran for {_minutes(IDLE_LIMIT)} minutes; "
            f"ECS says: {seen.says or 'nothing'}"
        )
    if memory.alone_since is not None and seen.at - memory.alone_since >= ALONE_LIMIT:
        return "jobs wait, and the run has no fleet: it was never requested, or has been ended"
    ended = seen.account.ended - limits.ended_before
    if seen.alike and 0 < limits.alike_failures <= ended:
        return f"all of the first {seen.account.ended} jobs that ended failed alike: {seen.alike}"
    if stalled(seen, limits, memory):
        patience = _minutes(stall_limit(seen, limits, memory))
        return (
            f"jobs are at work, and none has come to an end for {patience} minutes (stall_minutes)"
        )
    return ""


def stalled(seen: Observation, limits: Limits, memory: Memory) -> bool:
    """Whether jobs are at work, and none has come to an end for too long."""
    since = seen.at - (memory.progress_at or seen.at)
    return bool(seen.at_work(limits.cores)) and since >= stall_limit(seen, limits, memory)


def stall_limit(seen: Observation, limits: Limits, memory: Memory) -> timedelta:
    """How long jobs may be at work without one coming to an end."""
    if limits.stall is not None:
        return limits.stall
    seconds = seconds_per_job(seen, limits, memory)
    if seconds is None or memory.ended == memory.first_ended:
        return limits.job_timeout + STALL_LEAST
    return max(STALL_LEAST, timedelta(seconds=STALL_JOBS * seconds))


def _finish(seen: Observation, limits: Limits, memory: Memory) -> str:
    """Why nothing new is to be begun; "" when it is.

    What runs needs time and money to come to its end, within what the run may take.
    """
    seconds = seconds_per_job(seen, limits, memory) or 0.0
    ahead = min(timedelta(seconds=FINISH_JOBS * seconds), FINISH_MOST * limits.most)
    if seen.at >= limits.ends_at - ahead:
        return "the run has reached its max_hours"
    if over_budget(seen, limits, memory):
        return f"the run has reached its max_cost: {_money(memory)}"
    return ""


def over_budget(seen: Observation, limits: Limits, memory: Memory) -> bool:
    """Whether what runs comes to its end within `max_cost` only if nothing new is begun."""
    seconds = seconds_per_job(seen, limits, memory) or 0.0
    return _over(limits, memory, 1.0, memory.usd_an_hour * seconds / 3600)


def _over(limits: Limits, memory: Memory, share: float, usd_to_come: float = 0.0) -> bool:
    if limits.max_cost is None or memory.spent is None:
        return False
    return memory.spent + usd_to_come >= share * limits.max_cost


def _wind_down(
    seen: Observation, limits: Limits, memory: Memory, why: str, claim: bool
) -> Decision:
    """Let what runs come to its end, and begin nothing new.

    The service is told to keep nothing: ECS stops each container as its worker has done with its
    last job. SQS's counts lag, so that nothing is at work is believed at the third look.
    """
    if memory.quiet_looks >= EMPTY_LOOKS or (memory.finishing and not seen.running):
        return Decision(done=True, stop=why, claim=claim)
    at_work = math.ceil(seen.at_work(limits.cores) / limits.cores)
    target = min(machines_needed(at_work, limits), len(seen.machines))
    return Decision(
        finish=why,
        claim=claim,
        desired=0 if seen.desired else None,
        target=target if target != seen.target else None,
        terminate=frozenset(_empty(seen)) if not seen.desired else frozenset(),
        look_after=min(TAIL_SECONDS, limits.look_seconds),
    )


def _scale(seen: Observation, limits: Limits, memory: Memory, claim: bool) -> Decision:
    """As many containers and machines as the open jobs can use, and pay their start.

    Jobs without a result are counted exactly; SQS's own counts are approximate.
    """
    left = seen.left
    target = _target(seen, limits, memory)
    # A container more than the machines can hold would only be one that cannot be placed.
    room = max(target, len(seen.joined)) * limits.tasks_per_machine
    containers = min(containers_needed(left, limits), room)
    surplus = max(len(seen.machines) - target, 0)
    # While ECS looks for a place for a container, an empty machine may just have become it.
    empty = _empty(seen) if seen.desired <= max(containers, seen.running) else []
    # A machine that has not joined yet may be the place that a container waits for.
    starts = seen.running < containers
    if starts or _earns_its_start(seen, limits, seconds_per_job(seen, limits, memory)):
        empty = [machine for machine in empty if machine in seen.joined]
    useless = [one for one, since in memory.useless.items() if seen.at - since >= USELESS_LIMIT]
    tail = left <= seen.running * limits.cores
    return Decision(
        claim=claim,
        desired=containers if containers != seen.desired else None,
        target=target if target != seen.target else None,
        terminate=frozenset(empty[:surplus]) | frozenset(useless),
        look_after=min(TAIL_SECONDS, limits.look_seconds) if tail else limits.look_seconds,
    )


def _empty(seen: Observation) -> list[str]:
    """Machines without a container, those first that are farthest from having one."""
    empty = [machine for machine, containers in seen.machines.items() if not containers]
    return sorted(empty, key=lambda machine: (machine in seen.joined, machine))


def _target(seen: Observation, limits: Limits, memory: Memory) -> int:
    """Machines to ask for.

    Never more than the open jobs can use, and never fewer than those at work need, but in
    cheapest mode. A machine that would come too late to work as long as it takes to start is not
    asked for: what is lost near the end is not replaced.
    """
    since = memory.machines_since
    if limits.cheapest and since is not None and seen.at - since >= CHEAPEST_AFTER:
        return 1
    left, seconds = seen.left, seconds_per_job(seen, limits, memory)
    usable = machines_needed(containers_needed(left, limits), limits)
    at_work = machines_needed(math.ceil(seen.at_work(limits.cores) / limits.cores), limits)
    there = min(len(seen.joined), usable)
    wanted = min(usable, useful_machines(left, seconds, limits))
    if not _earns_its_start(seen, limits, seconds):
        wanted = min(wanted, there)
    return max(wanted, min(at_work, usable), 1)


def _earns_its_start(seen: Observation, limits: Limits, seconds: float | None) -> bool:
    """Whether a machine asked for now would still find as much work as its start takes."""
    slots = seen.running * limits.cores
    if seconds is None or not slots:
        return True
    waiting = seen.left - seen.at_work(limits.cores)
    return waiting * seconds / slots >= 2 * START_SECONDS


def _money(memory: Memory) -> str:
    return f"{memory.spent:.2f} USD spent" if memory.spent is not None else "spending is not known"


def _minutes(time: timedelta) -> int:
    return round(time.total_seconds() / 60)
