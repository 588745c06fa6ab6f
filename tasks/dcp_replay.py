"""What a run would have taken under Distributed-CellProfiler's policy. Pure.

The run's own jobs, machines and losses, gone through once more in virtual time by the rules of
`tasks.dcp_policy`. Where the trace says nothing, Distributed-CellProfiler is given the better
case: no machine is lost after the run's own end, and each lost one is replaced at once.
"""

import heapq
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.dcp_policy import (
    IDLE_SECONDS,
    JOB_SECONDS,
    RESIZE_SECONDS,
    SLOT_START_SECONDS,
    TICK_SECONDS,
    dcp_done,
    dcp_slot_starts,
    dcp_target,
)
from tasks.limits import START_SECONDS
from tasks.machine_time import Machine


@dataclass(frozen=True)
class Trace:
    """What happened in a run, in seconds since its first machine was launched.

    Attributes:
        jobs: What each job took: download, CellProfiler and upload, in the order of the plan.
        launches: When the machines of its beginning were launched.
        losses: When AWS took a machine back.
        machines: Machines that the run may have.
        containers: Containers on each.
        cores: CellProfilers in each.
        visibility: How long a job stays hidden when its machine is lost.
        slot_start: Between the starts of a container's CellProfilers.
    """

    jobs: Sequence[float]
    launches: Sequence[float]
    losses: Sequence[float]
    machines: int
    containers: int
    cores: int
    visibility: float
    slot_start: float = SLOT_START_SECONDS


@dataclass(frozen=True)
class Replay:
    """What it would have taken.

    Attributes:
        machine_hours: Hours of all machines together.
        hours: From the first launch to the end of the last machine.
        jobs_lost: Attempts at jobs that were lost with a machine.
    """

    machine_hours: float
    hours: float
    jobs_lost: int


def trace_of(
    jobs: Sequence[float],
    machines: Collection[Machine],
    *,
    most: int,
    containers: int,
    cores: int,
    visibility: float,
) -> Trace:
    """The trace of a run, by the machines that it had.

    Machines of its beginning that it did not ask for, or did not get, come with the last of those
    that it got before one ended.

    Args:
        jobs: What each job took, in seconds.
        machines: Those that it had, at least one.
        most: Machines that the configuration allows.
        containers: Containers on each.
        cores: CellProfilers in each.
        visibility: `sqs_message_visibility` in seconds. Distributed-CellProfiler does not renew
            it, so that it would have to be as long as the longest job.
    """
    begin = min(machine.launched for machine in machines)
    first_end = min((machine.ended or machine.seen) for machine in machines)
    launched = sorted(machine.launched for machine in machines if machine.launched <= first_end)
    launches = [(one - begin).total_seconds() for one in launched[:most]]
    losses = sorted(
        (machine.ended - begin).total_seconds()
        for machine in machines
        if machine.interrupted and machine.ended
    )
    return Trace(
        jobs=jobs,
        launches=launches + launches[-1:] * (most - len(launches)),
        losses=losses,
        machines=most,
        containers=containers,
        cores=cores,
        visibility=max([visibility, *jobs]),
    )


def replay(trace: Trace) -> Replay:
    """Go through a trace as Distributed-CellProfiler's fleet would have."""
    return _Simulation(trace).run()


@dataclass(eq=False)
class _Machine:
    launched: float
    jobs: dict[int, float] = field(default_factory=dict)
    idle_since: float = 0.0
    alive: bool = True


class _Simulation:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.waiting = deque(range(len(trace.jobs)))
        self.left = len(trace.jobs)
        self.machines: list[_Machine] = []
        self.free: deque[_Machine] = deque()
        self.to_come = 0
        self.target = trace.machines
        self.paid = 0.0
        self.jobs_lost = 0
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.count = 0

    def at(self, time: float, what: Callable[..., None], *about: Any) -> None:
        self.count += 1
        heapq.heappush(self.events, (time, self.count, what, about))

    def run(self) -> Replay:
        for time in self.trace.launches:
            self.to_come += 1
            self.at(time, self.launch)
        for time in self.trace.losses:
            self.at(time, self.lose)
        self.at(RESIZE_SECONDS, self.resize)
        while not dcp_done(len(self.waiting), self.left - len(self.waiting)):
            self.now, _, what, about = heapq.heappop(self.events)
            what(*about)
        # Its monitor looks once a minute, and then ends all machines.
        self.now = -(-self.now // TICK_SECONDS) * TICK_SECONDS
        for machine in self.machines:
            self.paid += self.now - machine.launched
        return Replay(self.paid / 3600, self.now / 3600, self.jobs_lost)

    def launch(self) -> None:
        self.to_come -= 1
        machine = _Machine(self.now, idle_since=self.now + START_SECONDS)
        self.machines.append(machine)
        size = self.trace
        starts = dcp_slot_starts(
            self.now + START_SECONDS, size.cores, size.containers, size.slot_start
        )
        for start in starts:
            self.at(start, self.begin_slot, machine)
        self.at(machine.idle_since + IDLE_SECONDS, self.idle, machine)

    def begin_slot(self, machine: _Machine) -> None:
        self.free.append(machine)
        self.work()

    def work(self) -> None:
        """Give messages that are visible to slots that are free."""
        while self.waiting and self.free:
            machine = self.free.popleft()
            if not machine.alive:
                continue
            job = self.waiting.popleft()
            machine.jobs[job] = self.now
            self.at(self.now + self.trace.jobs[job] + JOB_SECONDS, self.finish, machine, job)

    def finish(self, machine: _Machine, job: int) -> None:
        if not machine.alive:
            return
        del machine.jobs[job]
        self.left -= 1
        self.free.append(machine)
        self.work()
        if not machine.jobs:
            machine.idle_since = self.now
            self.at(self.now + IDLE_SECONDS, self.idle, machine)

    def idle(self, machine: _Machine) -> None:
        """The alarm of a machine whose CPU did nothing; its fleet replaces it if it is wanted."""
        if machine.alive and not machine.jobs and self.now - machine.idle_since >= IDLE_SECONDS:
            self.end(machine)

    def lose(self) -> None:
        """AWS takes the machine back that has been there longest."""
        if not self.machines:
            return
        machine = self.machines[0]
        for job, taken in machine.jobs.items():
            self.jobs_lost += 1
            self.at(max(taken + self.trace.visibility, self.now), self.show, job)
        self.end(machine)

    def show(self, job: int) -> None:
        self.waiting.append(job)
        self.work()

    def end(self, machine: _Machine) -> None:
        machine.alive = False
        self.machines.remove(machine)
        self.paid += self.now - machine.launched
        while len(self.machines) + self.to_come < self.target:
            self.to_come += 1
            self.at(self.now, self.launch)

    def resize(self) -> None:
        self.target = dcp_target(
            self.target, len(self.waiting), self.left - len(self.waiting), len(self.machines)
        )
        self.at(self.now + RESIZE_SECONDS, self.resize)
