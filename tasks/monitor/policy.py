"""What to do about an observation of a run: pure decisions.

A poll makes an `Observation` (tasks/monitor/observation.py); the trackers add what earlier ones
showed (tasks/monitor/trackers.py); `decide` says what to do. Nothing here calls AWS, so the
benchmark of the fleet runs the very same code in virtual time (benchmarks/fleet.py).
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from tasks.monitor.observation import Observation
from tasks.monitor.trackers import IDLE_LIMIT, Memory
from tasks.runs.limits import (
    START_SECONDS,
    Limits,
    containers_needed,
    machines_needed,
    useful_machines,
)

CHEAPEST_AFTER = timedelta(minutes=15)  # as in DCP's cheapest mode
TAIL_SECONDS = 15.0  # between polls once no job waits: machines come free, and each minute costs
FINISH_JOBS = 3  # no job starts in the last time of the run that this many jobs take
FINISH_MOST = 0.1  # of max_hours, at most
OVER_BUDGET = 1.1  # of max_cost: jobs that still run are stopped


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


def decide(seen: Observation, limits: Limits, memory: Memory) -> Decision:
    """Decide what to do about an observation (pure).

    ECS chooses the containers to stop when the service scales in, and it spares those that run
    jobs, since a worker protects itself while it has one (Amazon ECS Developer Guide, "Task
    scale-in protection"). Only machines without any container are then terminated, so no job is
    ever interrupted.

    Args:
        seen: The observation.
        limits: The run's size and end.
        memory: The memory after this observation.
    """
    if not seen.account.open:
        return Decision(done=True)
    if memory.empty_queue.lost(seen.at):
        why = "jobs without a result are neither in the queue nor in the dead-letter queue"
        return Decision(done=True, stop=why, lost=True)
    stop = _stop(seen, limits, memory)
    if stop:
        return Decision(done=True, stop=stop)
    claim = memory.empty_queue.confirmed
    finish = memory.drain.finishing or _finish(seen, limits, memory)
    if finish:
        return _wind_down(seen, limits, memory, finish, claim)
    return _scale(seen, limits, memory, claim)


def _stop(seen: Observation, limits: Limits, memory: Memory) -> str:
    """Why the run must stop now, even if jobs run; "" if it need not."""
    if seen.at >= limits.ends_at:
        return memory.drain.finishing or "the run has reached its max_hours"
    if memory.spending.over(limits, OVER_BUDGET):
        said = f"the run has cost more than its max_cost: {_money(memory)}"
        return memory.drain.finishing or said
    if seen.broken:
        return seen.broken
    if memory.idle.expired(seen.at):
        return (
            f"jobs wait on machines, and no container ran for {minutes(IDLE_LIMIT)} minutes; "
            f"ECS says: {seen.says or 'nothing'}"
        )
    if memory.no_fleet.expired(seen.at):
        return "jobs wait, and the run has no fleet: it was never requested, or has been ended"
    ended = seen.account.ended - limits.ended_before
    if seen.alike and 0 < limits.alike_failures <= ended:
        return f"all of the first {seen.account.ended} jobs that ended failed alike: {seen.alike}"
    if memory.progress.stalled(seen, limits):
        patience = minutes(memory.progress.stall_limit(seen, limits))
        return (
            f"jobs are at work, and none has come to an end for {patience} minutes (stall_minutes)"
        )
    return ""


def _finish(seen: Observation, limits: Limits, memory: Memory) -> str:
    """Why no new jobs are to start; "" if they are.

    Running jobs need time and money to finish within the limits of the run.
    """
    seconds = memory.progress.seconds_per_job(seen, limits) or 0.0
    ahead = min(timedelta(seconds=FINISH_JOBS * seconds), FINISH_MOST * limits.most)
    if seen.at >= limits.ends_at - ahead:
        return "the run has reached its max_hours"
    if over_budget(seen, limits, memory):
        return f"the run has reached its max_cost: {_money(memory)}"
    return ""


def over_budget(seen: Observation, limits: Limits, memory: Memory) -> bool:
    """Whether running jobs finish within `max_cost` only if no new ones start."""
    seconds = memory.progress.seconds_per_job(seen, limits) or 0.0
    return memory.spending.over(limits, seconds=seconds)


def _wind_down(
    seen: Observation, limits: Limits, memory: Memory, why: str, claim: bool
) -> Decision:
    """Let running jobs finish, and start no new ones.

    With a desired count of 0, ECS stops each container once its worker has finished its last job.
    """
    if memory.drain.complete(seen):
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
    if starts or _earns_its_start(seen, limits, memory.progress.seconds_per_job(seen, limits)):
        empty = [machine for machine in empty if machine in seen.joined]
    tail = left <= seen.running * limits.cores
    return Decision(
        claim=claim,
        desired=containers if containers != seen.desired else None,
        target=target if target != seen.target else None,
        terminate=frozenset(empty[:surplus]) | memory.useless_machines.expired(seen.at),
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
    if limits.cheapest and memory.first_machine.age(seen.at) >= CHEAPEST_AFTER:
        return 1
    left, seconds = seen.left, memory.progress.seconds_per_job(seen, limits)
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
    spent = memory.spending.spent
    return "spending is not known" if spent is None else f"{spent:.2f} USD spent"


def minutes(time: timedelta) -> int:
    """A time in whole minutes, for messages."""
    return round(time.total_seconds() / 60)
