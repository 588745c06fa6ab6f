"""Whether the machines can hold the containers: types, memory, vCPUs, disk, times."""

import math
from collections.abc import Callable, Iterator

from blocks import FleetTemplate, RunConfig
from blocks.errors import Problem
from tasks.fleet.instance_types import MachineType, MachineTypes
from tasks.jobs.past_durations import JobSeconds
from tasks.preflight.finding import Finding, Level

WHERE = "run config"
GB = 1_000_000_000
MUCH_LONGER = 4  # times as long as a job: what a dead worker's job then waits is worth a note
LONG_WAIT = 1800  # s


def findings(
    config: RunConfig,
    template: FleetTemplate,
    types: MachineTypes,
    seconds: JobSeconds | None = None,
    bytes_per_job: int | None = None,
) -> Iterator[Finding]:
    """What of the machines does not fit (pure).

    Args:
        config: The run config.
        template: The fleet template.
        types: The machine types as AWS describes them.
        seconds: How long a job is expected to take, when it is known.
        bytes_per_job: Images of the largest job, in bytes, when they are known.
    """
    yield from _unknown(types)
    yield from _architecture(template, types)
    yield from _only_on_demand(config, template, types)
    yield from _room(config, types)
    yield from _disk(config, bytes_per_job)
    if seconds is not None:
        yield from _times(config, seconds)


def _finding(
    level: Level, code: str, key: str, what: str, got: str = "", remedy: str = ""
) -> Finding:
    return Finding(level, code, Problem(WHERE, key, what, got=got, remedy=remedy))


def _unknown(types: MachineTypes) -> Iterator[Finding]:
    for name, nearest in types.unknown.items():
        yield _finding(
            "error",
            "machine_type_unknown",
            "machine_type",
            "is no machine type of this region",
            got=name,
            remedy=f"Did you mean {' or '.join(nearest)}?" if nearest else "Name another.",
        )


def _architecture(template: FleetTemplate, types: MachineTypes) -> Iterator[Finding]:
    if template.spot_fleet_request is not None:
        return  # its machine image says for which processor it is made
    others = [one for one in types.known if template.architecture not in one.architectures]
    if others:
        made_for = sorted({kind for one in others for kind in one.architectures})
        yield _finding(
            "error",
            "machine_architecture",
            "machine_type",
            f"has another processor than the fleet template says ({template.architecture})",
            got=f"{_names(others)} ({', '.join(made_for)})",
            remedy="Name types of that processor, or change architecture in the fleet template; "
            "the worker's image must be made for it.",
        )


def _only_on_demand(
    config: RunConfig, template: FleetTemplate, types: MachineTypes
) -> Iterator[Finding]:
    others = [one for one in types.known if not one.spot]
    if others and template.on_demand(config.cluster_machines) < config.cluster_machines:
        yield _finding(
            "error" if len(others) == len(types.known) else "warning",
            "machine_not_spot",
            "machine_type",
            "cannot be had as a spot machine",
            got=_names(others),
            remedy="Name other types.",
        )


def _room(config: RunConfig, types: MachineTypes) -> Iterator[Finding]:
    cpu, memory, planned = config.cpu_units, config.memory, config.tasks_per_machine
    room = {one: one.holds(cpu, memory) for one in types.known}

    def those(test: Callable[[int, int], bool]) -> list[MachineType]:
        return [one for one, (least, most) in room.items() if test(least, most)]

    size = f"a container of {cpu} CPU units and {memory} MB"
    if none := those(lambda _, most: most == 0):
        yield _finding(
            "error",
            "container_too_large",
            "memory" if all(one.cpu_units >= cpu for one in none) else "cpu_shares",
            f"{size} is never placed on these machines: they would be paid for and stay without "
            "container and name",
            got=_sizes(none),
            remedy="Lower memory or cpu_shares (docker_cores), or take larger machines.",
        )
    if perhaps := those(lambda least, most: least == 0 < most):
        yield _finding(
            "warning",
            "container_may_not_fit",
            "memory",
            f"{size} may find no place: what ECS keeps of a machine's memory differs",
            got=_sizes(perhaps),
            remedy=f"At most {min(one.registered_memory[0] for one in perhaps)} MB fit for sure.",
        )
    if fewer := those(lambda least, _: 0 < least < planned):
        most_tasks = min(room[one][0] for one in fewer)
        yield _finding(
            "warning",
            "fewer_containers_than_planned",
            "tasks_per_machine",
            f"not all {planned} containers of a machine find a place ({size})",
            got=_sizes(fewer),
            remedy=f"Set tasks_per_machine to {most_tasks}, or make the containers smaller.",
        )
    if more := those(lambda least, _: least > planned):
        yield from _more(config, more, min(room[one][0] for one in more))


def _more(config: RunConfig, types: list[MachineType], room: int) -> Iterator[Finding]:
    """More containers fit on a machine than were planned: ECS fills a machine before the next.

    A single one a machine is a limit that ECS keeps (`tasks.resources.ecs`), and of a single
    machine there are no more containers than planned.
    """
    bounded = config.tasks_per_machine == 1 or config.cluster_machines == 1
    yield _finding(
        "note" if bounded else "warning",
        "machine_larger_than_planned" if bounded else "more_containers_than_planned",
        "tasks_per_machine",
        f"a machine has room for {room} containers, and {config.tasks_per_machine} are planned"
        + (
            ": the rest of it is paid for and not used"
            if bounded
            else f": ECS may place {room} on some machines, which then share their disk, and leave "
            "others empty"
        ),
        got=_sizes(types),
        remedy=f"Set tasks_per_machine to {room} with fewer machines, or take smaller machines, "
        "or give the containers more memory or cpu_shares.",
    )


def _disk(config: RunConfig, bytes_per_job: int | None) -> Iterator[Finding]:
    if not config.download_files or not bytes_per_job:
        return
    needed = bytes_per_job * config.docker_cores / GB
    has = config.disk_per_container
    if needed <= has / 2:
        return
    # disk_per_container, the other way round.
    size = math.ceil((2 * needed + 2) * config.tasks_per_machine)
    yield _finding(
        "error" if needed > has else "warning",
        "disk_too_small",
        "ebs_vol_size",
        f"the images of {config.docker_cores} jobs at a time take {needed:.1f} GB of the "
        f"{has:.1f} GB that a container has",
        got=f"{config.ebs_vol_size} GB",
        remedy=f"Set ebs_vol_size to {size}, which leaves as much for outputs.",
    )


def _times(config: RunConfig, seconds: JobSeconds) -> Iterator[Finding]:
    usual = seconds.mean.high
    longest = max(seconds.most, usual)
    if longest > config.job_timeout:
        yield _finding(
            "error" if usual > config.job_timeout else "warning",
            "job_timeout_short",
            "job_timeout",
            f"jobs are broken off after it; they take {usual:.0f} s, long ones {longest:.0f} s "
            f"({seconds.source})",
            got=f"{config.job_timeout} s",
            remedy=f"Set it to {min(2 * int(longest), 42_900)} or leave it out.",
        )
    if config.sqs_message_visibility > max(MUCH_LONGER * longest, LONG_WAIT):
        yield _finding(
            "note",
            "visibility_long",
            "sqs_message_visibility",
            "so long does a job wait whose worker died; running jobs are renewed, so it need not "
            f"be longer than a job ({usual:.0f} s)",
            got=f"{config.sqs_message_visibility} s",
        )


def _names(types: list[MachineType]) -> str:
    return ", ".join(one.name for one in types)


def _sizes(types: list[MachineType]) -> str:
    return ", ".join(
        f"{one.name} ({one.cpu_units} CPU units, {one.registered_memory[0]} to "
        f"{one.registered_memory[1]} MB for containers)"
        for one in types
    )
