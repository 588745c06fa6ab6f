"""Injects faults with a rate into machines and containers.

The time of a fault of the n-th machine or container is drawn from the seed and counts from its
start.
"""

import time

from deployments.local.emulator.core.state import (
    ContainerInstance,
    EmulatedMachine,
    EmulatorState,
    Region,
    Task,
    now,
)
from deployments.local.emulator.ec2.instances import interrupt, recommend_rebalance
from deployments.local.emulator.ecs.container_instances import disconnect

# "OutOfMemoryError" in "Amazon ECS stopped tasks error messages" (Amazon ECS Developer Guide).
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


def disturb(emulator: EmulatorState, region: Region) -> None:
    """Inject the faults that are due."""
    for machine in region.machines.values():
        if machine.alive:
            _interrupt(emulator, machine)
            machine.hung = machine.hung or _due(emulator, machine, "hangs")
    for container_instance in region.container_instances.values():
        if container_instance.connected and container_instance.instance_id in region.machines:
            _disconnect(
                emulator, region.machines[container_instance.instance_id], container_instance
            )
    for task in region.tasks():
        if task.container is not None and task.last_status != "STOPPED":
            _stand_still(region, task)
            _kill(emulator, task)


def _due(
    emulator: EmulatorState, machine: EmulatedMachine, switch: str, ahead: float = 0.0
) -> bool:
    age = time.monotonic() - machine.launched_at
    return age >= emulator.chaos.seconds_until(switch, machine.number) - ahead


def _interrupt(emulator: EmulatorState, machine: EmulatedMachine) -> None:
    if machine.instance.lifecycle != "spot" or machine.ends_at is not None:
        return
    ahead = emulator.chaos.rebalance
    if ahead is not None and _due(emulator, machine, "interruptions", ahead):
        recommend_rebalance(emulator, machine)
    if _due(emulator, machine, "interruptions"):
        interrupt(emulator, machine)


def _disconnect(
    emulator: EmulatorState, machine: EmulatedMachine, container_instance: ContainerInstance
) -> None:
    if _due(emulator, machine, "disconnects"):
        disconnect(emulator, container_instance)


def _stand_still(region: Region, task: Task) -> None:
    machine = region.machines.get(task.host.instance_id)
    if machine is not None and machine.hung and not task.frozen and task.container is not None:
        task.container.freeze()
        task.frozen = True


def _kill(emulator: EmulatorState, task: Task) -> None:
    assert task.container is not None
    age = (now() - (task.started_at or now())).total_seconds()
    if age >= emulator.chaos.seconds_until("oom", task.number):
        task.container_reason = OUT_OF_MEMORY
        task.container.kill_command()
    elif age >= emulator.chaos.seconds_until("kills", task.number):
        task.container.kill_command()
