"""How large a run may be, how long it may last, and what so much work needs."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.runs.run import Run

START_SECONDS = 240.0
"""From the request of a machine to its first job, in seconds, as a rule.

A minute or two until AWS has it up, then the agent, and the pull of an image of 2 GB.
"""


@dataclass(frozen=True)
class Limits:
    """What of the configuration the decision needs.

    Attributes:
        machines: The most machines.
        tasks_per_machine: Containers on a machine.
        cores: Jobs that a container works on at a time.
        ends_at: When AWS ends the fleet.
        most: `max_hours`.
        max_cost: Most that the machines may cost, in USD; None: no limit.
        stall: How long jobs may be at work without one ending; None: by what jobs take.
        job_timeout: Longest time of an attempt at a job.
        alike_failures: Failures of one kind that end the run when nothing else happened; 0: never.
        ended_before: Jobs that had ended when the run was continued; their failures are old.
        cheapest: Whether machines that AWS takes back are not replaced after a while.
        seconds_per_job: What a job is expected to take, in seconds; None when nobody says.
        look_seconds: Between two looks, in seconds.
    """

    machines: int
    tasks_per_machine: int
    cores: int
    ends_at: datetime
    most: timedelta = timedelta(hours=72)
    max_cost: float | None = None
    stall: timedelta | None = None
    job_timeout: timedelta = timedelta(seconds=41_400)
    alike_failures: int = 0
    ended_before: int = 0
    cheapest: bool = False
    seconds_per_job: float | None = None
    look_seconds: float = 60.0

    @property
    def slots(self) -> int:
        """Jobs that a machine works on at a time."""
        return self.tasks_per_machine * self.cores


def limits_of(run: Run, started_at: datetime) -> Limits:
    """The limits that the run's configuration sets."""
    config = run.config
    most = timedelta(hours=config.max_hours)
    stall = config.stall_minutes
    return Limits(
        machines=config.cluster_machines,
        tasks_per_machine=config.tasks_per_machine,
        cores=config.docker_cores,
        ends_at=started_at + most,
        most=most,
        max_cost=config.max_cost,
        stall=None if stall is None else timedelta(minutes=stall),
        job_timeout=timedelta(seconds=config.job_timeout),
        alike_failures=config.alike_failures,
        cheapest=config.cheapest,
        seconds_per_job=config.seconds_per_job,
        look_seconds=config.monitor_seconds,
    )


def containers_needed(jobs: int, limits: Limits) -> int:
    """Containers that so many jobs can keep busy, within the run's size."""
    return min(math.ceil(jobs / limits.cores), limits.machines * limits.tasks_per_machine)


def machines_needed(containers: int, limits: Limits) -> int:
    """Machines that so many containers need."""
    return math.ceil(containers / limits.tasks_per_machine)


def useful_machines(jobs: int, seconds: float | None, limits: Limits) -> int:
    """Machines that find as much work as their start takes, at least one.

    Args:
        jobs: Jobs that are to be done.
        seconds: What a job takes; None when that is not known, then each machine is useful.
        limits: The run's size.
    """
    if seconds is None:
        return limits.machines
    work = jobs * seconds / (limits.slots * START_SECONDS)
    return min(max(math.floor(work), 1), limits.machines)
