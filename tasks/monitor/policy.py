"""Decisions of the monitor about a run. Pure.

A poll makes an `Observation` (tasks/monitor/observation.py), the trackers add the history
(tasks/monitor/trackers.py), and `decide` returns what to do. Nothing here calls AWS, so the fleet
benchmark runs the same code in virtual time (benchmarks/fleet.py).
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from blocks.plurals import plural
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
TAIL_SECONDS = 15.0  # between polls once no job waits: idle machines cost money
FINISH_JOBS = 3  # no job starts in the last part of a run: the duration of this many jobs
FINISH_MOST = 0.1  # of max_hours, at most
OVER_BUDGET = 1.1  # of max_cost: running jobs are stopped


@dataclass(frozen=True)
class Decision:
    """What to do.

    Attributes:
        done: The run is over: every job has a result, or `stop` says why not.
        stop: Why the run ends before its jobs do; "" if it does not.
        lost: Jobs without a result are in no queue either, so the run cannot be continued.
        claim: Search the dead-letter queue for open jobs.
        desired: New desired count of the service; None to keep it.
        target: New target capacity of the fleet; terminates no machine; None to keep it.
        terminate: Machines to terminate; none of them has a container.
        finish: Why workers start no new jobs from now on; "" if they do.
        look_after: Seconds until the next poll.
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
    """Decide what to do after a poll (pure).

    ECS chooses the containers to stop when the service scales in, and it spares those that run
    jobs, since a worker protects itself while it has one (Amazon ECS Developer Guide, "Task
    scale-in protection"). Only machines without any container are then terminated, so no job is
    ever interrupted.

    Args:
        seen: The observation.
        limits: The run's size and end.
        memory: The state after this observation.
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
            f"machines are up, but no container has run for {minutes(IDLE_LIMIT)} minutes; "
            f"ECS says: {seen.says or 'nothing'}"
        )
    if memory.no_fleet.expired(seen.at):
        return (
            "jobs are queued but the run has no fleet: it was never requested or has been deleted"
        )
    ended = seen.account.ended - limits.ended_before
    if seen.alike and 0 < limits.alike_failures <= ended:
        first = plural(seen.account.ended, "job")
        return f"the first {first} all failed for the same reason: {seen.alike}"
    if memory.progress.stalled(seen, limits):
        patience = minutes(memory.progress.stall_limit(seen, limits))
        return f"no running job has finished for {patience} minutes (stall_minutes)"
    return ""


def _finish(seen: Observation, limits: Limits, memory: Memory) -> str:
    """Why no new jobs should start; "" if they should.

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
    """Scale to the containers and machines that the open jobs can use.

    Open jobs are counted exactly from their results; SQS's counts are approximate.
    """
    left = seen.left
    target = _target(seen, limits, memory)
    # ECS could not place more containers than the machines can hold.
    room = max(target, len(seen.joined)) * limits.tasks_per_machine
    containers = min(containers_needed(left, limits), room)
    surplus = max(len(seen.machines) - target, 0)
    # While ECS is placing containers, an empty machine may just have received one.
    empty = _empty(seen) if seen.desired <= max(containers, seen.running) else []
    # A container may be waiting for a machine that has not joined yet.
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
    """Machines without a container; first those that have not joined the cluster."""
    empty = [machine for machine, containers in seen.machines.items() if not containers]
    return sorted(empty, key=lambda machine: (machine in seen.joined, machine))


def _target(seen: Observation, limits: Limits, memory: Memory) -> int:
    """Target capacity of the fleet.

    Never more machines than the open jobs can use; never fewer than running jobs need, except in
    cheapest mode. A machine that would work for less time than it takes to start is not requested,
    so machines lost near the end are not replaced.
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
    """Whether a machine requested now would work at least as long as it takes to start."""
    slots = seen.running * limits.cores
    if seconds is None or not slots:
        return True
    waiting = seen.left - seen.at_work(limits.cores)
    return waiting * seconds / slots >= 2 * START_SECONDS


def _money(memory: Memory) -> str:
    spent = memory.spending.spent
    return "the cost is unknown" if spent is None else f"{spent:.2f} USD spent"


def minutes(time: timedelta) -> int:
    """A duration in whole minutes, for messages."""
    return round(time.total_seconds() / 60)
