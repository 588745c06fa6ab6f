"""Limits of a run in size, time and cost; and how many machines and containers its jobs need."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.runs.run import Run

START_SECONDS = 240.0
"""Typical time from the request of a machine to its first job, in seconds.

AWS takes a minute or two to boot it; then the agent starts and pulls an image of 2 GB.
"""


@dataclass(frozen=True)
class Limits:
    """The part of the configuration that the monitor's decisions need.

    Attributes:
        machines: Most machines.
        tasks_per_machine: Containers on a machine.
        cores: Jobs that a container runs at a time.
        ends_at: When AWS deletes the fleet.
        most: `max_hours`.
        max_cost: Budget for machines, in USD; None: no limit.
        stall: How long jobs may run without any of them finishing; None: based on job durations.
        job_timeout: Longest time of an attempt at a job.
        alike_failures: Stop the run if this many first jobs all fail for one reason; 0: never.
        ended_before: Jobs that had ended when the run was continued; their failures do not count.
        cheapest: Whether to stop replacing interrupted machines after a while.
        seconds_per_job: Expected duration of a job, in seconds; None if unknown.
        look_seconds: Seconds between polls.
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
        """Jobs that a machine runs at a time."""
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
    """Containers that the jobs can keep busy, within the run's size."""
    return min(math.ceil(jobs / limits.cores), limits.machines * limits.tasks_per_machine)


def machines_needed(containers: int, limits: Limits) -> int:
    """Machines that the containers need."""
    return math.ceil(containers / limits.tasks_per_machine)


def useful_machines(jobs: int, seconds: float | None, limits: Limits) -> int:
    """Machines that would work at least as long as they take to start; at least one.

    Args:
        jobs: Jobs to do.
        seconds: Duration of a job; if None (unknown), every machine is useful.
        limits: The run's size.
    """
    if seconds is None:
        return limits.machines
    work = jobs * seconds / (limits.slots * START_SECONDS)
    return min(max(math.floor(work), 1), limits.machines)
