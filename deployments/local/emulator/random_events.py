"""Injects faults with a rate into machines and containers.

The time of a fault of the n-th machine or container is drawn from the seed and counts from its
start.
"""

import time

from deployments.local.emulator.core.state import (
    Cloud,
    ContainerInstance,
    EmulatedMachine,
    Region,
    Task,
    now,
)
from deployments.local.emulator.ec2.instances import interrupt, recommend_rebalance
from deployments.local.emulator.ecs.container_instances import disconnect

# "OutOfMemoryError" in "Amazon ECS stopped tasks error messages" (Amazon ECS Developer Guide).
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


def disturb(cloud: Cloud, region: Region) -> None:
    """Inject the faults that are due."""
    for machine in region.machines.values():
        if machine.alive:
            _interrupt(cloud, machine)
            machine.hung = machine.hung or _due(cloud, machine, "hangs")
    for container_instance in region.container_instances.values():
        if container_instance.connected and container_instance.instance_id in region.machines:
            _disconnect(cloud, region.machines[container_instance.instance_id], container_instance)
    for task in region.tasks():
        if task.container is not None and task.last_status != "STOPPED":
            _stand_still(region, task)
            _kill(cloud, task)


def _due(cloud: Cloud, machine: EmulatedMachine, switch: str, ahead: float = 0.0) -> bool:
    age = time.monotonic() - machine.launched_at
    return age >= cloud.chaos.seconds_until(switch, machine.number) - ahead


def _interrupt(cloud: Cloud, machine: EmulatedMachine) -> None:
    if machine.instance.lifecycle != "spot" or machine.ends_at is not None:
        return
    ahead = cloud.chaos.rebalance
    if ahead is not None and _due(cloud, machine, "interruptions", ahead):
        recommend_rebalance(cloud, machine)
    if _due(cloud, machine, "interruptions"):
        interrupt(cloud, machine)


def _disconnect(
    cloud: Cloud, machine: EmulatedMachine, container_instance: ContainerInstance
) -> None:
    if _due(cloud, machine, "disconnects"):
        disconnect(cloud, container_instance)


def _stand_still(region: Region, task: Task) -> None:
    machine = region.machines.get(task.host.instance_id)
    if machine is not None and machine.hung and not task.frozen and task.container is not None:
        task.container.freeze()
        task.frozen = True


def _kill(cloud: Cloud, task: Task) -> None:
    assert task.container is not None
    age = (now() - (task.started_at or now())).total_seconds()
    if age >= cloud.chaos.seconds_until("oom", task.number):
        task.container_reason = OUT_OF_MEMORY
        task.container.kill_command()
    elif age >= cloud.chaos.seconds_until("kills", task.number):
        task.container.kill_command()
