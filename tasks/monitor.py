"""One look at a run, what to do about it, and doing it.

A tick holds no memory of its own: what must be remembered between two looks lies in the run's
record, so that a loop, a schedule or a person may run the ticks, from any machine.
"""

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from tasks import machine_time, record
from tasks.aws import error_code
from tasks.containers import find_service, set_desired_count
from tasks.fleet import Fleet
from tasks.limits import Limits, containers_needed, limits_of, machines_needed
from tasks.machines import tasks_by_machine, terminate
from tasks.queues import QueueCounts, count, find_queue
from tasks.results import Account, account, claim_dead_letters
from tasks.run import Run
from tasks.start import find_fleets

EMPTY_LOOKS = 3  # SQS counts approximately: so many empty looks in a row before it is believed
LOST_LOOKS = 10  # and so many, over so long a time, before jobs without a result are called lost
LOST_AFTER = timedelta(minutes=5)  # the counts may lag by a minute (SQS, GetQueueAttributes)
IDLE_LIMIT = timedelta(minutes=20)  # jobs wait, machines are there, and no container runs


@dataclass(frozen=True)
class Observation:
    """What one look sees.

    Attributes:
        at: When.
        queue: The job queue's counts; None when there is no queue.
        account: Where every job is.
        target: Machines asked for, by all fleets of the app.
        machines: Containers on each machine of the fleet; 0 where it has not joined the cluster.
        joined: The machines that have joined the cluster.
        desired: Containers that the service is to keep.
        running: Containers that run.
        says: The newest message of ECS about the service.
    """

    at: datetime
    queue: QueueCounts | None
    account: Account
    target: int = 0
    machines: Mapping[str, int] = field(default_factory=dict)
    joined: frozenset[str] = frozenset()
    desired: int = 0
    running: int = 0
    says: str = ""


@dataclass(frozen=True)
class Memory:
    """What is remembered from look to look.

    Attributes:
        empty_looks: How often in a row the queue was empty while jobs had no result.
        empty_since: Since when that is so.
        idle_since: Since when jobs wait and machines are there, but no container runs.
    """

    empty_looks: int = 0
    empty_since: datetime | None = None
    idle_since: datetime | None = None


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
        terminate: Machines to end: they have joined the cluster and run no container.
    """

    done: bool = False
    stop: str = ""
    lost: bool = False
    claim: bool = False
    desired: int | None = None
    target: int | None = None
    terminate: frozenset[str] = frozenset()


def remember(seen: Observation, memory: Memory) -> Memory:
    """What the next look must know."""
    empty = bool(seen.account.open) and (seen.queue is None or seen.queue.total == 0)
    # Machines cost money; without any, the run only waits for capacity.
    waiting = seen.queue is not None and seen.queue.waiting > 0 and len(seen.machines) > 0
    return Memory(
        empty_looks=memory.empty_looks + 1 if empty else 0,
        empty_since=(memory.empty_since or seen.at) if empty else None,
        idle_since=(memory.idle_since or seen.at) if waiting and not seen.running else None,
    )


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
    if seen.at >= limits.ends_at:
        return Decision(done=True, stop="the run has reached its max_hours")
    empty_for = seen.at - (memory.empty_since or seen.at)
    if memory.empty_looks >= LOST_LOOKS and empty_for >= LOST_AFTER:
        return Decision(
            done=True,
            stop="jobs without a result are neither in the queue nor in the dead-letter queue",
            lost=True,
        )
    if memory.idle_since is not None and seen.at - memory.idle_since >= IDLE_LIMIT:
        minutes = round(IDLE_LIMIT.total_seconds() / 60)
        return Decision(
            done=True,
            stop=f"jobs wait on machines, and no container ran for {minutes} minutes; ECS says: "
            f"{seen.says or 'nothing'}",
        )
    return _scale(seen, limits, claim=memory.empty_looks >= EMPTY_LOOKS)


def _scale(seen: Observation, limits: Limits, claim: bool) -> Decision:
    # Jobs without a result are counted exactly; SQS's own counts are approximate.
    containers = containers_needed(len(seen.account.open), limits)
    idle = frozenset(machine for machine in seen.joined if not seen.machines.get(machine))
    target = max(machines_needed(containers, limits), len(seen.machines) - len(idle))
    surplus = max(len(seen.machines) - target, 0)
    # Containers go first; that their machine is idle is seen at a later look.
    ends = sorted(idle)[:surplus] if seen.desired <= containers else []
    return Decision(
        claim=claim,
        desired=containers if containers != seen.desired else None,
        target=target if target != seen.target else None,
        terminate=frozenset(ends),
    )


def observe(run: Run, fleets: list[Fleet], jobs: Set[str]) -> Observation:
    """Look at the run: queue, results, fleet, containers."""
    url = find_queue(run.aws.sqs, run.names.queue)
    # The queue is read before the results: a job that ends between the two is then seen in both,
    # and never in neither.
    queue = count(run.aws.sqs, url) if url else None
    service = find_service(run)
    joined = tasks_by_machine(run)
    machines = [machine for fleet in fleets for machine in fleet.machines()]
    events = service["events"] if service else []
    return Observation(
        at=datetime.now(UTC),
        queue=queue,
        account=account(run, jobs),
        target=sum(fleet.target() for fleet in fleets),
        machines={machine: joined.get(machine, 0) for machine in machines},
        joined=frozenset(joined) & frozenset(machines),
        desired=service["desiredCount"] if service else 0,
        running=service["runningCount"] if service else 0,
        says=events[0].get("message", "") if events else "",
    )


def act(run: Run, fleets: list[Fleet], decision: Decision) -> None:
    """Do what was decided, but for ending the run: that is the clean-up's."""
    if decision.desired is not None:
        set_desired_count(run, decision.desired)
    if decision.target is not None and fleets:
        _resize(fleets[0], decision.target)
    terminate(run.aws.ec2, sorted(decision.terminate))


def _resize(fleet: Fleet, machines: int) -> None:
    try:
        fleet.resize(machines)
    except ClientError as error:
        # It is being modified; the next look asks again.
        if "NotInModifiableState" not in error_code(error):
            raise


def tick(run: Run, jobs: Set[str]) -> tuple[Observation, Decision]:
    """Look at the run once and do what there is to do.

    Args:
        run: The run.
        jobs: The ids of its jobs.
    """
    kept = record.load(run)
    if kept is None:
        return Observation(datetime.now(UTC), None, Account()), Decision(True, "it has no record")
    fleets = find_fleets(run)
    seen = observe(run, fleets, jobs)
    before = Memory(kept.empty_looks, kept.empty_since, kept.idle_since)
    memory = remember(seen, before)
    if memory != before:
        record.update(run, **asdict(memory))
    decision = decide(seen, limits_of(run, kept.started_at), memory)
    if decision.claim:
        claim_dead_letters(run, seen.account.open)
    act(run, fleets, decision)
    # After what saves money: a note that cannot be written must not keep machines.
    machine_time.note(run, seen.machines.keys(), seen.at)
    return seen, decision
