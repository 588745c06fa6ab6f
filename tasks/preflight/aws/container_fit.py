"""Checks that the containers fit on the machines: types, memory, vCPUs, disk, times."""

import math
from collections.abc import Callable, Iterator

from blocks import FleetTemplate, RunConfig
from blocks.errors import Problem
from tasks.fleet.instance_types import MachineType, MachineTypes
from tasks.jobs.past_durations import JobSeconds
from tasks.preflight.finding import Finding, Level

WHERE = "run config"
GB = 1_000_000_000
MUCH_LONGER = 4  # a visibility timeout of more than this many job durations is worth a note
LONG_WAIT = 1800  # s


def findings(
    config: RunConfig,
    template: FleetTemplate,
    types: MachineTypes,
    seconds: JobSeconds | None = None,
    bytes_per_job: int | None = None,
) -> Iterator[Finding]:
    """Settings of the machines and containers that do not fit (pure).

    Args:
        config: The run config.
        template: The fleet template.
        types: The machine types as AWS describes them.
        seconds: Expected duration of a job, if known.
        bytes_per_job: Size of the largest job's images, in bytes, if known.
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
            "is not a machine type of this region",
            got=name,
            remedy=f"Did you mean {' or '.join(nearest)}?" if nearest else "Name another type.",
        )


def _architecture(template: FleetTemplate, types: MachineTypes) -> Iterator[Finding]:
    if template.spot_fleet_request is not None:
        return  # its machine image determines the processor
    others = [kind for kind in types.known if template.architecture not in kind.architectures]
    if others:
        architectures = sorted({name for kind in others for name in kind.architectures})
        yield _finding(
            "error",
            "machine_architecture",
            "machine_type",
            f"does not have the processor of the fleet template ({template.architecture})",
            got=f"{_names(others)} ({', '.join(architectures)})",
            remedy="Name types with that processor, or change architecture in the fleet template. "
            "The worker's image must be built for it.",
        )


def _only_on_demand(
    config: RunConfig, template: FleetTemplate, types: MachineTypes
) -> Iterator[Finding]:
    others = [kind for kind in types.known if not kind.spot]
    if others and template.on_demand(config.cluster_machines) < config.cluster_machines:
        yield _finding(
            "error" if len(others) == len(types.known) else "warning",
            "machine_not_spot",
            "machine_type",
            "is not available as a spot machine",
            got=_names(others),
            remedy="Name other types.",
        )


def _room(config: RunConfig, types: MachineTypes) -> Iterator[Finding]:
    cpu, memory, planned = config.cpu_units, config.memory, config.tasks_per_machine
    room = {kind: kind.holds(cpu, memory) for kind in types.known}

    def those(test: Callable[[int, int], bool]) -> list[MachineType]:
        return [kind for kind, (least, most) in room.items() if test(least, most)]

    size = f"a container of {cpu} CPU units and {memory} MB"
    if none := those(lambda _, most: most == 0):
        yield _finding(
            "error",
            "container_too_large",
            "memory" if all(kind.cpu_units >= cpu for kind in none) else "cpu_shares",
            f"{size} does not fit on these machines: you would pay for them, but they would run "
            "no container and get no name",
            got=_sizes(none),
            remedy="Lower memory or cpu_shares (docker_cores), or use larger machines.",
        )
    if perhaps := those(lambda least, most: least == 0 < most):
        yield _finding(
            "warning",
            "container_may_not_fit",
            "memory",
            f"{size} may not fit: the memory that ECS reserves on a machine varies",
            got=_sizes(perhaps),
            remedy=f"Up to {min(kind.registered_memory[0] for kind in perhaps)} MB always fit.",
        )
    if fewer := those(lambda least, _: 0 < least < planned):
        most_tasks = min(room[kind][0] for kind in fewer)
        yield _finding(
            "warning",
            "fewer_containers_than_planned",
            "tasks_per_machine",
            f"{planned} containers do not fit on one machine ({size})",
            got=_sizes(fewer),
            remedy=f"Set tasks_per_machine to {most_tasks}, or make the containers smaller.",
        )
    if more := those(lambda least, _: least > planned):
        yield from _more(config, more, min(room[kind][0] for kind in more))


def _more(config: RunConfig, types: list[MachineType], room: int) -> Iterator[Finding]:
    """More containers fit on a machine than planned, and ECS fills one machine before the next.

    ECS enforces a limit of one container per machine (`tasks.resources.ecs`), and a single machine
    never gets more containers than planned.
    """
    bounded = config.tasks_per_machine == 1 or config.cluster_machines == 1
    yield _finding(
        "note" if bounded else "warning",
        "machine_larger_than_planned" if bounded else "more_containers_than_planned",
        "tasks_per_machine",
        f"a machine has room for {room} containers, but {config.tasks_per_machine} "
        f"{'is' if config.tasks_per_machine == 1 else 'are'} planned"
        + (
            ": you pay for the unused rest"
            if bounded
            else f": ECS may place {room} on some machines, where they share the disk, and leave "
            "others empty"
        ),
        got=_sizes(types),
        remedy=f"Set tasks_per_machine to {room} with fewer machines, or use smaller machines, "
        "or give the containers more memory or cpu_shares.",
    )


def _disk(config: RunConfig, bytes_per_job: int | None) -> Iterator[Finding]:
    if not config.download_files or not bytes_per_job:
        return
    needed = bytes_per_job * config.docker_cores / GB
    available = config.disk_per_container
    if needed <= available / 2:
        return
    # The inverse of disk_per_container.
    size = math.ceil((2 * needed + 2) * config.tasks_per_machine)
    jobs = f"{config.docker_cores} job{'s' if config.docker_cores > 1 else ''}"
    yield _finding(
        "error" if needed > available else "warning",
        "disk_too_small",
        "ebs_vol_size",
        f"the images of {jobs} at a time take {needed:.1f} GB of a container's {available:.1f} GB",
        got=f"{config.ebs_vol_size} GB",
        remedy=f"Set ebs_vol_size to {size}, which leaves equal space for outputs.",
    )


def _times(config: RunConfig, seconds: JobSeconds) -> Iterator[Finding]:
    usual = seconds.mean.high
    longest = max(seconds.most, usual)
    if longest > config.job_timeout:
        yield _finding(
            "error" if usual > config.job_timeout else "warning",
            "job_timeout_short",
            "job_timeout",
            f"is shorter than a job: jobs take {usual:.0f} s, long ones {longest:.0f} s "
            f"({seconds.source})",
            got=f"{config.job_timeout} s",
            remedy=f"Set it to {min(2 * int(longest), 42_900)}, or remove it.",
        )
    if config.sqs_message_visibility > max(MUCH_LONGER * longest, LONG_WAIT):
        yield _finding(
            "note",
            "visibility_long",
            "sqs_message_visibility",
            "a job whose worker died waits this long; workers renew running jobs, so a job's "
            f"duration ({usual:.0f} s) is enough",
            got=f"{config.sqs_message_visibility} s",
        )


def _names(types: list[MachineType]) -> str:
    return ", ".join(kind.name for kind in types)


def _sizes(types: list[MachineType]) -> str:
    return ", ".join(
        f"{kind.name} ({kind.cpu_units} CPU units, {kind.registered_memory[0]} to "
        f"{kind.registered_memory[1]} MB for containers)"
        for kind in types
    )
