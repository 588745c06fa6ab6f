"""The monitor's state between polls: one small tracker per concern. Pure.

A tracker is immutable; `after` returns the tracker after another observation. The fields of all
trackers together are the keys of `memory.json` (tasks/monitor/state.py), so each name occurs once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tasks.cost.spend import Spend
from tasks.monitor.observation import Observation
from tasks.runs.limits import Limits

EMPTY_LOOKS = 3  # consecutive observations of an empty queue: SQS counts approximately
LOST_LOOKS = 10  # jobs count as lost after this many, over at least LOST_AFTER
LOST_AFTER = timedelta(minutes=5)  # the counts may lag by a minute (SQS, GetQueueAttributes)
IDLE_LIMIT = timedelta(minutes=30)
USELESS_LIMIT = timedelta(minutes=12)
ALONE_LIMIT = timedelta(minutes=5)  # a fleet that was just requested may not be listed yet
STALL_LEAST = timedelta(hours=1)
STALL_JOBS = 10  # times the duration of a job
ENDED_ENOUGH = 10  # jobs, before the duration measured in this run replaces the expected one


def _elapsed(since: datetime | None, now: datetime) -> timedelta:
    return now - since if since else timedelta()


@dataclass(frozen=True)
class EmptyQueue:
    """The queue is empty, yet jobs have no result.

    Attributes:
        empty_looks: Consecutive observations of that.
        empty_since: Time of the first of them.
    """

    empty_looks: int = 0
    empty_since: datetime | None = None

    def after(self, seen: Observation) -> "EmptyQueue":
        """The tracker after another observation."""
        if seen.in_queue or not seen.account.open:
            return EmptyQueue()
        return EmptyQueue(self.empty_looks + 1, self.empty_since or seen.at)

    @property
    def confirmed(self) -> bool:
        """Whether the queue is empty, and not only counted as such."""
        return self.empty_looks >= EMPTY_LOOKS

    def lost(self, now: datetime) -> bool:
        """Whether the jobs without a result are lost."""
        return self.empty_looks >= LOST_LOOKS and _elapsed(self.empty_since, now) >= LOST_AFTER


@dataclass(frozen=True)
class Idle:
    """Jobs wait on machines, and no container runs.

    Machines cost money; without any, the run only waits for capacity.

    Attributes:
        idle_since: Time of the first observation of that.
    """

    idle_since: datetime | None = None

    def after(self, seen: Observation) -> "Idle":
        """The tracker after another observation."""
        waiting = seen.queue.waiting if seen.queue else 0
        if not waiting or not seen.machines or seen.running:
            return Idle()
        return Idle(self.idle_since or seen.at)

    def expired(self, now: datetime) -> bool:
        """Whether that has lasted too long."""
        return _elapsed(self.idle_since, now) >= IDLE_LIMIT


@dataclass(frozen=True)
class NoFleet:
    """The run has no fleet.

    Attributes:
        alone_since: Time of the first observation of that.
    """

    alone_since: datetime | None = None

    def after(self, seen: Observation) -> "NoFleet":
        """The tracker after another observation."""
        return NoFleet() if seen.fleets else NoFleet(self.alone_since or seen.at)

    def expired(self, now: datetime) -> bool:
        """Whether that has lasted too long."""
        return _elapsed(self.alone_since, now) >= ALONE_LIMIT


@dataclass(frozen=True)
class FirstMachine:
    """When the run got its first machine.

    Attributes:
        machines_since: Time of the first observation of a machine.
    """

    machines_since: datetime | None = None

    def after(self, seen: Observation) -> "FirstMachine":
        """The tracker after another observation."""
        return self if self.machines_since or not seen.machines else FirstMachine(seen.at)

    def age(self, now: datetime) -> timedelta:
        """The time since then; 0 while there was no machine."""
        return _elapsed(self.machines_since, now)


@dataclass(frozen=True)
class UselessMachines:
    """Machines without a container, while containers wait for a machine.

    Attributes:
        useless: Time of the first observation of that, by instance id.
    """

    useless: Mapping[str, datetime] = field(default_factory=dict)

    def after(self, seen: Observation) -> "UselessMachines":
        """The tracker after another observation."""
        if seen.running >= seen.desired:
            return UselessMachines()
        return UselessMachines(
            {
                machine: self.useless.get(machine, seen.at)
                for machine, containers in sorted(seen.machines.items())
                # One that has joined is at fault only if others have their containers.
                if not containers and (seen.running or machine not in seen.joined)
            }
        )

    def expired(self, now: datetime) -> frozenset[str]:
        """The machines that have been useless for too long."""
        return frozenset(
            machine for machine, since in self.useless.items() if now - since >= USELESS_LIMIT
        )


@dataclass(frozen=True)
class Progress:
    """How fast jobs end.

    Attributes:
        first_ended: Jobs that had ended at the first observation.
        ended: Jobs that had ended at the last one.
        in_queue: Messages in the queue at the last one.
        progress_at: Time of the last observation of a job that ended or started.
        work_seconds: Time that jobs have run since the first observation, all jobs together.
    """

    first_ended: int = 0
    ended: int = 0
    in_queue: int = 0
    progress_at: datetime | None = None
    work_seconds: float = 0.0

    def after(self, seen: Observation, limits: Limits, last: datetime | None) -> "Progress":
        """The tracker after another observation.

        Args:
            seen: The observation.
            limits: The run's size.
            last: Time of the observation before; None if this is the first one.
        """
        ended, at_work = seen.account.ended, seen.at_work(limits.cores)
        news = ended > self.ended or seen.in_queue < self.in_queue or not at_work
        since = max(_elapsed(last, seen.at).total_seconds(), 0.0)
        return Progress(
            first_ended=ended if last is None else self.first_ended,
            ended=ended,
            in_queue=seen.in_queue,
            progress_at=seen.at if news or last is None else self.progress_at,
            work_seconds=self.work_seconds + at_work * since,
        )

    def seconds_per_job(self, seen: Observation, limits: Limits) -> float | None:
        """The duration of a job: as measured in this run, else as expected; None if unknown.

        Jobs that run are half done on average, so each counts as half a job for its time so far.
        """
        ended = self.ended - self.first_ended
        if ended < ENDED_ENOUGH or not self.work_seconds:
            return limits.seconds_per_job
        return self.work_seconds / (ended + seen.at_work(limits.cores) / 2)

    def stall_limit(self, seen: Observation, limits: Limits) -> timedelta:
        """How long jobs may run without any of them ending."""
        if limits.stall is not None:
            return limits.stall
        seconds = self.seconds_per_job(seen, limits)
        if seconds is None or self.ended == self.first_ended:
            return limits.job_timeout + STALL_LEAST
        return max(STALL_LEAST, timedelta(seconds=STALL_JOBS * seconds))

    def stalled(self, seen: Observation, limits: Limits) -> bool:
        """Whether jobs run, and none has ended for too long."""
        without = _elapsed(self.progress_at, seen.at)
        return bool(seen.at_work(limits.cores)) and without >= self.stall_limit(seen, limits)


@dataclass(frozen=True)
class Spending:
    """What the machines cost.

    Attributes:
        spent: Their cost since the run began or was continued, in USD; None if unknown.
        usd_an_hour: Their current cost, in USD an hour.
    """

    spent: float | None = None
    usd_an_hour: float = 0.0

    def after(self, spend: Spend, before: float = 0.0) -> "Spending":
        """The tracker after another estimate; one without a figure changes nothing.

        Args:
            spend: The cost of the run.
            before: The part from before the run was continued, in USD: `max_cost` excludes it.
        """
        if spend.usd is None:
            return self
        return Spending(spend.usd - before, spend.usd_an_hour)

    def over(self, limits: Limits, share: float = 1.0, seconds: float = 0.0) -> bool:
        """Whether the cost reaches a share of `max_cost` within a time.

        Args:
            limits: The run's budget.
            share: The share.
            seconds: The time from now on.
        """
        if limits.max_cost is None or self.spent is None:
            return False
        return self.spent + self.usd_an_hour * seconds / 3600 >= share * limits.max_cost


@dataclass(frozen=True)
class AlikeFailures:
    """Whether all jobs that ended have failed for the same reason.

    Attributes:
        mixed: Whether they have not, which no later job can change.
    """

    mixed: bool = False

    def after(self, seen: Observation, limits: Limits) -> "AlikeFailures":
        """The tracker after another observation."""
        enough = 0 < limits.alike_failures <= seen.account.ended
        return AlikeFailures(self.mixed or (enough and not seen.alike))


@dataclass(frozen=True)
class Drain:
    """Running jobs finish, and no new ones start.

    Attributes:
        finishing: Why; "" while new jobs start.
        quiet_looks: Consecutive observations of no running job since then.
    """

    finishing: str = ""
    quiet_looks: int = 0

    def after(self, seen: Observation, limits: Limits) -> "Drain":
        """The tracker after another observation."""
        quiet = bool(self.finishing) and not seen.at_work(limits.cores)
        return Drain(self.finishing, self.quiet_looks + 1 if quiet else 0)

    def complete(self, seen: Observation) -> bool:
        """Whether nothing runs any more; SQS's counts lag, so one observation proves nothing."""
        return self.quiet_looks >= EMPTY_LOOKS or (bool(self.finishing) and not seen.running)


@dataclass(frozen=True)
class Memory:
    """The monitor's state of a run.

    Attributes:
        at: Time of the last observation; None before the first one.
        told: Names of the events sent to Prefect.
    """

    at: datetime | None = None
    told: frozenset[str] = frozenset()
    empty_queue: EmptyQueue = EmptyQueue()
    idle: Idle = Idle()
    no_fleet: NoFleet = NoFleet()
    first_machine: FirstMachine = FirstMachine()
    useless_machines: UselessMachines = UselessMachines()
    progress: Progress = Progress()
    spending: Spending = Spending()
    alike_failures: AlikeFailures = AlikeFailures()
    drain: Drain = Drain()

    def after(self, seen: Observation, limits: Limits) -> "Memory":
        """The state after another observation."""
        return replace(
            self,
            at=seen.at,
            empty_queue=self.empty_queue.after(seen),
            idle=self.idle.after(seen),
            no_fleet=self.no_fleet.after(seen),
            first_machine=self.first_machine.after(seen),
            useless_machines=self.useless_machines.after(seen),
            progress=self.progress.after(seen, limits, self.at),
            alike_failures=self.alike_failures.after(seen, limits),
            drain=self.drain.after(seen, limits),
        )

    def paid(self, spend: Spend, before: float = 0.0) -> "Memory":
        """The state after another estimate of the cost; see `Spending.after`."""
        return replace(self, spending=self.spending.after(spend, before))

    def draining(self, why: str) -> "Memory":
        """The state once no new jobs start.

        Args:
            why: The reason; "" if nothing changes.
        """
        return replace(self, drain=replace(self.drain, finishing=why)) if why else self

    def having_told(self, event: str) -> "Memory":
        """The state after an event was sent to Prefect."""
        return replace(self, told=self.told | {event})
