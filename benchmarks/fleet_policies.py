"""The policies that the simulation compares: ours, a plain one, and Distributed-CellProfiler's.

Ours is `tasks.monitor.policy.decide`, the function that also monitors runs in AWS; here it gets a
fleet in virtual time.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dcp_policy
from fleet_world import Simulation, SimulationResult, Trace, Worker

from blocks import RunConfig
from tasks.jobs.queues import QueueCounts
from tasks.jobs.results import Account
from tasks.monitor.observation import Observation
from tasks.monitor.policy import decide
from tasks.monitor.trackers import Memory
from tasks.runs.limits import Limits

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
OUR_WORKER = Worker(
    # "wall per job" minus "CellProfiler per job" is 0.4 s at 9 s (benchmarks/worker.py).
    job_seconds=0.4,
    slot_seconds=float(RunConfig.model_fields["seconds_to_start"].default),
    hidden_seconds=0.0,
    heeds_notice=True,
)
DCP_WORKER = Worker(
    job_seconds=dcp_policy.JOB_SECONDS,
    slot_seconds=dcp_policy.SLOT_START_SECONDS,
    hidden_seconds=dcp_policy.VISIBILITY_SECONDS,
    heeds_notice=False,
)
PLAIN_SECONDS = 60.0


def ours(trace: Trace, earlier: bool) -> SimulationResult:
    """Our policy.

    Args:
        trace: Random events of the plate.
        earlier: Whether job times are known from an earlier run, so that the longest go first.
    """
    order = list(range(len(trace.seconds)))
    if earlier:
        order.sort(key=lambda job: trace.earlier[job])  # the last is taken first
    size = trace.scenario
    world = Simulation(trace, OUR_WORKER, order, size.machines)
    limits = Limits(
        machines=size.machines,
        tasks_per_machine=1,
        cores=size.slots,
        ends_at=EPOCH + timedelta(hours=72),
        seconds_per_job=sum(trace.earlier) / len(order) if earlier else None,
    )
    submitted = frozenset(str(job) for job in order)
    memory = Memory()

    def look() -> None:
        nonlocal memory
        observation = _observation(world, submitted)
        memory = memory.after(observation, limits)
        decision = decide(observation, limits, memory)
        world.over = decision.done
        if decision.desired is not None:
            world.desired = decision.desired
        if decision.target is not None:
            world.target = decision.target
        for machine in world.alive():
            if str(machine.number) in decision.terminate:
                world.end(machine)
        world.place()
        world.keep()
        world.at(world.now + decision.look_after, look)

    world.at(0.0, look)
    return world.run()


def _observation(world: Simulation, submitted: frozenset[str]) -> Observation:
    machines = [machine for machine in world.alive() if machine.launched <= world.now]
    return Observation(
        at=EPOCH + timedelta(seconds=world.now),
        queue=QueueCounts(len(world.waiting), world.in_flight),
        account=Account(submitted, frozenset(str(job) for job in world.done)),
        target=world.target,
        machines={str(machine.number): int(machine.container) for machine in machines},
        joined=frozenset(str(machine.number) for machine in machines if machine.joined),
        desired=world.desired,
        running=sum(machine.container for machine in machines),
    )


def plain(trace: Trace) -> SimulationResult:
    """Our worker; idle machines are terminated every minute."""
    world = Simulation(trace, OUR_WORKER, list(range(len(trace.seconds))), trace.scenario.machines)

    def look() -> None:
        world.over = not world.waiting and not world.in_flight
        if not world.waiting:
            idle = [machine for machine in world.alive() if machine.joined and not machine.busy]
            world.target = min(world.target, len(world.alive()) - len(idle))
            for machine in idle:
                world.end(machine)
        world.at(world.now + PLAIN_SECONDS, look)

    world.at(PLAIN_SECONDS, look)
    return world.run()


def dcp(trace: Trace, from_receipt: bool) -> SimulationResult:
    """Distributed-CellProfiler's worker and policy (dcp_policy.py).

    Args:
        trace: Random events of the plate.
        from_receipt: Whether a lost job is hidden for its visibility timeout from its receipt, or
            from the loss of its machine.
    """
    worker = replace(DCP_WORKER, from_receipt=from_receipt)
    world = Simulation(trace, worker, list(range(len(trace.seconds))), trace.scenario.machines)

    def look() -> None:
        waiting, in_flight = len(world.waiting), world.in_flight
        world.over = dcp_policy.dcp_done(waiting, in_flight)
        if world.now % dcp_policy.RESIZE_SECONDS == 0:
            machine_count = len(world.alive())
            world.target = dcp_policy.dcp_target(world.target, waiting, in_flight, machine_count)
        for machine in world.alive():
            idle = machine.container and not machine.busy and machine.ready_at < world.now
            # The worker creates the alarm: a machine that never joined has none.
            if idle and world.now - machine.idle_since >= dcp_policy.IDLE_SECONDS:
                world.end(machine)
        world.keep()
        world.at(world.now + dcp_policy.TICK_SECONDS, look)

    world.at(dcp_policy.TICK_SECONDS, look)
    return world.run()
