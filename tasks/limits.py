"""How large a run may be, how long it may last, and what so much work needs."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.run import Run


@dataclass(frozen=True)
class Limits:
    """What of the configuration the decision needs.

    Attributes:
        machines: The most machines.
        tasks_per_machine: Containers on a machine.
        cores: Jobs that a container works on at a time.
        ends_at: When AWS ends the fleet.
    """

    machines: int
    tasks_per_machine: int
    cores: int
    ends_at: datetime


def limits_of(run: Run, started_at: datetime) -> Limits:
    """The limits that the run's configuration sets."""
    config = run.config
    return Limits(
        machines=config.cluster_machines,
        tasks_per_machine=config.tasks_per_machine,
        cores=config.docker_cores,
        ends_at=started_at + timedelta(hours=config.max_hours),
    )


def containers_needed(jobs: int, limits: Limits) -> int:
    """Containers that so many jobs can keep busy, within the run's size."""
    return min(math.ceil(jobs / limits.cores), limits.machines * limits.tasks_per_machine)


def machines_needed(containers: int, limits: Limits) -> int:
    """Machines that so many containers need."""
    return math.ceil(containers / limits.tasks_per_machine)
