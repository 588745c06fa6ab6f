"""A fleet in virtual time: jobs, machines, slots, the queue, and the parts of AWS that cost money.

All events are drawn beforehand (`Trace`), so that every policy gets the same jobs, and the same
fate of the first, second, third … machine that it launches. A policy has a `look`, which the world
calls when the policy requested it; it terminates machines and sets the target.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

START_SECONDS = 240.0  # from launch to the first job
JOIN_SECONDS = 180.0  # from launch to registration with the cluster
NOTICE_SECONDS = 120.0  # "Spot Instance interruption notices" (Amazon EC2 User Guide)
OUT_OF_ORDER = 100  # SQS keeps the order of messages only roughly
DAY = 86_400.0


@dataclass(frozen=True)
class Scenario:
    """The conditions for a plate.

    Attributes:
        name: Its name in the tables.
        jobs: Jobs of the plate.
        machines: Machines of the fleet.
        slots: Jobs that a machine runs at a time.
        interruptions: Spot interruptions per machine and day.
        late: Share of machines that launch late.
        late_seconds: Their delay.
        bad: Machines of the first fleet that never join the cluster.
    """

    name: str
    jobs: int = 384 * 9
    machines: int = 50
    slots: int = 4
    interruptions: float = 0.0
    late: float = 0.0
    late_seconds: float = 1200.0
    bad: int = 0


@dataclass(frozen=True)
class Trace:
    """The random events for one seed.

    Attributes:
        scenario: Its scenario.
        seconds: CellProfiler's time of each job.
        earlier: The time of each job in an earlier run.
        lives: Seconds until AWS interrupts the n-th machine.
    """

    scenario: Scenario
    seconds: tuple[float, ...]
    earlier: tuple[float, ...]
    lives: tuple[float, ...]

    def comes_after(self, number: int) -> float:
        """Seconds from the request to the launch of the n-th machine."""
        prompt = self.scenario.machines * (1 - self.scenario.late)
        return self.scenario.late_seconds if prompt <= number < self.scenario.machines else 0.0

    def bad(self, number: int) -> bool:
        """Whether the n-th machine never joins."""
        return number < self.scenario.bad


def draw(scenario: Scenario, seed: int, noise: float) -> Trace:
    """Draw a trace.

    Job times are log-normal with a median of 8 minutes and sigma 0.35, cut to 4 to 16 minutes.

    Args:
        scenario: Its scenario.
        seed: Seed of the random numbers.
        noise: Sigma of the log-normal factor between the times and those of an earlier run.
    """
    chance = random.Random(seed)
    seconds = tuple(
        min(max(480 * math.exp(0.35 * chance.gauss(0, 1)), 240.0), 960.0)
        for _ in range(scenario.jobs)
    )
    earlier = tuple(time * math.exp(noise * chance.gauss(0, 1)) for time in seconds)
    rate = scenario.interruptions / DAY
    lives = tuple(chance.expovariate(rate) if rate else math.inf for _ in range(20 * 50))
    return Trace(scenario, seconds, earlier, lives)


@dataclass
class SimulatedMachine:
    """A machine of the fleet.

    Attributes:
        number: Its number in the order of launch.
        launched: Time of its launch.
        ended: Time of its termination.
        joined: Whether it has joined the cluster.
        container: Whether a container runs on it.
        leaving: Whether it starts no new jobs, after an interruption notice.
        busy: The job and its start time, by running slot.
        idle_since: Since when it has had no job.
        ready_at: When its container can take its first job.
    """

    number: int
    launched: float
    ended: float = math.inf
    joined: bool = False
    container: bool = False
    leaving: bool = False
    busy: dict[int, tuple[int, float]] = field(default_factory=dict)
    idle_since: float = 0.0
    ready_at: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether it is running or requested."""
        return self.ended == math.inf

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.ended - self.launched


@dataclass(frozen=True)
class Worker:
    """How a worker spends the time of a slot.

    Attributes:
        job_seconds: Time in a slot per job, in addition to CellProfiler.
        slot_seconds: Delay between the starts of a container's slots.
        hidden_seconds: How long a job stays hidden after its machine is lost; 0 if it is returned
            at once.
        from_receipt: Whether this counts from the receipt of the job, as in SQS, or from the loss.
        heeds_notice: Whether no new jobs start after an interruption notice.
    """

    job_seconds: float
    slot_seconds: float
    hidden_seconds: float
    heeds_notice: bool
    from_receipt: bool = False


@dataclass(frozen=True)
class SimulationResult:
    """Results of a plate.

    Attributes:
        machine_seconds: Total of all machines.
        job_seconds: CellProfiler's time, each job counted once.
        slots: Slots per machine.
        makespan: Seconds from the request to the end of the last job.
        again: Number of repeated starts of jobs.
        after: Seconds from the end of the last job to the last termination.
        machine_seconds_after: Total of all machines after the last job.
    """

    machine_seconds: float
    job_seconds: float
    slots: int
    makespan: float
    again: int
    after: float
    machine_seconds_after: float

    @property
    def utilisation(self) -> float:
        """Share of the paid slot seconds that CellProfiler spent on completed jobs."""
        return self.job_seconds / (self.machine_seconds * self.slots)


class Simulation:
    """The fleet, its queue and its jobs in virtual time."""

    def __init__(self, trace: Trace, worker: Worker, order: list[int], target: int) -> None:
        self.trace, self.worker, self.scenario = trace, worker, trace.scenario
        self.now = 0.0
        self.target = target
        self.desired = target
        self.machines: list[SimulatedMachine] = []
        self.waiting = order
        self.hidden: set[int] = set()
        self.done: set[int] = set()
        self.last_done = 0.0
        self.again = 0
        self.over = False
        self._chance = random.Random(1)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    # Time

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Schedule an action."""
        heapq.heappush(self._events, (time, next(self._count), action))

    def run(self) -> SimulationResult:
        """Advance the time until the policy has ended the run."""
        self.keep()
        while not self.over:
            self.now, _, action = heapq.heappop(self._events)
            action()
        assert len(self.done) == len(self.trace.seconds)
        for machine in self.alive():
            self.end(machine)
        return SimulationResult(
            machine_seconds=sum(machine.seconds for machine in self.machines),
            job_seconds=sum(self.trace.seconds),
            slots=self.scenario.slots,
            makespan=self.last_done,
            again=self.again,
            after=max(machine.ended for machine in self.machines) - self.last_done,
            machine_seconds_after=sum(
                max(machine.ended - max(self.last_done, machine.launched), 0)
                for machine in self.machines
            ),
        )

    # The fleet

    def alive(self) -> list[SimulatedMachine]:
        """The machines that cost money."""
        return [machine for machine in self.machines if machine.alive]

    @property
    def in_flight(self) -> int:
        """Messages that are received but not deleted."""
        return sum(len(machine.busy) for machine in self.machines) + len(self.hidden)

    def keep(self) -> None:
        """Launch machines up to the target, like a fleet that maintains it; terminate none."""
        requested = [machine for machine in self.alive() if machine.launched > self.now]
        for machine in requested[: max(len(self.alive()) - self.target, 0)]:
            self.end(machine)  # capacity that has not launched is no longer requested
        for _ in range(self.target - len(self.alive())):
            number = len(self.machines)
            machine = SimulatedMachine(number, self.now + self.trace.comes_after(number))
            self.machines.append(machine)
            self.at(
                machine.launched + self.trace.lives[number], lambda gone=machine: self._gone(gone)
            )
            if self.trace.bad(number):
                continue
            self.at(machine.launched + JOIN_SECONDS, lambda joining=machine: self._join(joining))
            if self.worker.heeds_notice and self.trace.lives[number] < math.inf:
                notice = machine.launched + self.trace.lives[number] - NOTICE_SECONDS
                self.at(max(notice, machine.launched), lambda warned=machine: self._notice(warned))

    def _join(self, machine: SimulatedMachine) -> None:
        if machine.alive:
            machine.joined = True
            machine.idle_since = self.now
            self.place()

    def place(self) -> None:
        """Place containers on free machines, or stop idle containers, like ECS."""
        occupied = [machine for machine in self.alive() if machine.container]
        for machine in self.alive():
            if len(occupied) < self.desired and machine.joined and not machine.container:
                self._start(machine)
                occupied.append(machine)
        for machine in occupied[::-1]:
            if (
                len([other for other in occupied if other.container]) > self.desired
                and not machine.busy
            ):
                machine.container = False

    def _start(self, machine: SimulatedMachine) -> None:
        machine.container = True
        ready = max(self.now, machine.launched + START_SECONDS)
        for slot in range(self.scenario.slots):
            at = ready + slot * self.worker.slot_seconds
            self.at(at, lambda number=slot: self._take(machine, number))
        machine.ready_at = ready

    def end(self, machine: SimulatedMachine) -> None:
        """Terminate a machine; the jobs on it are lost."""
        machine.launched = min(machine.launched, self.now)
        machine.ended = self.now
        self._lose(machine)

    def _lose(self, machine: SimulatedMachine) -> None:
        lost, machine.busy = machine.busy, {}
        for job, begun in lost.values():
            self.again += 1
            since = begun if self.worker.from_receipt else self.now
            back = max(since + self.worker.hidden_seconds, self.now)
            self.hidden.add(job)
            self.at(back, lambda returned=job: self._back(returned))

    def _back(self, job: int) -> None:
        self.hidden.discard(job)
        self.waiting.append(job)
        self._feed()

    def _notice(self, machine: SimulatedMachine) -> None:
        machine.leaving = True

    def _gone(self, machine: SimulatedMachine) -> None:
        if machine.alive:
            self.end(machine)
            self.keep()

    # The queue: the next message is the last of the list, or one near it

    def _take(self, machine: SimulatedMachine, slot: int) -> None:
        ready = machine.container and not machine.leaving and machine.alive
        if not ready or slot in machine.busy or self.now < machine.ready_at:
            return
        if not self.waiting:
            self.place()
            return
        near = self._chance.randrange(1, min(OUT_OF_ORDER, len(self.waiting)) + 1)
        job = self.waiting.pop(-near)
        machine.busy[slot] = (job, self.now)
        ends = self.now + self.trace.seconds[job] + self.worker.job_seconds
        self.at(ends, lambda: self._done(machine, slot, job))

    def _done(self, machine: SimulatedMachine, slot: int, job: int) -> None:
        if not machine.alive or machine.busy.get(slot, (None,))[0] != job:
            return
        del machine.busy[slot]
        self.done.add(job)
        self.last_done = machine.idle_since = self.now
        self._take(machine, slot)

    def _feed(self) -> None:
        for machine in self.alive():
            for slot in range(self.scenario.slots):
                # A slot polls repeatedly; slots that start later poll when they start.
                later = machine.ready_at + slot * self.worker.slot_seconds
                if self.waiting and self.now >= later:
                    self._take(machine, slot)
