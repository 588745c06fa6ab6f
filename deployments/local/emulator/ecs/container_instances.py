"""Machines in ECS: registered by their agents, drained, deregistered, disconnected."""

import json
import re
import time
import uuid
from collections.abc import Sequence
from email import message_from_string

from moto.ec2.models.instance_types import INSTANCE_TYPES

from deployments.local.emulator.core.state import (
    ContainerInstance,
    EmulatedMachine,
    EmulatorState,
    Region,
    Task,
)
from deployments.local.emulator.ec2.instances import user_data
from deployments.local.emulator.ecs.agent import lose, signal
from tasks.fleet.instance_types import MachineType

CONFIG_LINE = re.compile(r"\b(ECS_[A-Z0-9_]+)=(.*)")


def ecs_config(data: str) -> dict[str, str]:
    """Return the settings that user data writes to `/etc/ecs/ecs.config`.

    Parses a script or a MIME multi-part archive of scripts: lines of a here-document, and lines
    like `echo NAME=VALUE >> /etc/ecs/ecs.config`.
    """
    message = message_from_string(data)
    if message.is_multipart():
        parts = [part.get_payload(decode=True) for part in message.walk()]
        data = "\n".join(part.decode() for part in parts if isinstance(part, bytes))
    if "/etc/ecs/ecs.config" not in data:
        return {}
    lines = [CONFIG_LINE.search(line) for line in data.splitlines()]
    return {match[1]: _value(match[2]) for match in lines if match}


def _value(text: str) -> str:
    value = text.partition(">>")[0].strip()
    if value[-1:] in ("'", '"') and value.count(value[-1]) % 2:
        value = value[:-1]
    return value


def resources(instance_type: str) -> tuple[int, int]:
    """Return the CPU units and MiB of memory that an instance of a type registers.

    The minimum of a real instance: what fits here also fits on AWS (`tasks.fleet.instance_types`).
    """
    description = INSTANCE_TYPES[instance_type]
    memory: int = description["MemoryInfo"]["SizeInMiB"]
    machine = MachineType(instance_type, description["VCpuInfo"]["DefaultVCpus"], memory)
    return machine.cpu_units, machine.registered_memory[0]


def boot(emulator: EmulatorState, region: Region) -> None:
    """Finish the boot of machines: run the user data, and register with its cluster.

    Like the real agent, one retries if its cluster does not exist, or without a route to ECS.
    """
    for machine in region.machines.values():
        if machine.booted or not machine.alive or time.monotonic() < machine.boots_at:
            continue
        machine.instance._state.name, machine.instance._state.code = "running", 16
        late = time.monotonic() < machine.boots_at + emulator.chaos.register_late
        if late or emulator.chaos.happens("unregistered", machine.number):
            continue
        config = ecs_config(user_data(machine))
        cluster = region.ecs.clusters.get(config.get("ECS_CLUSTER", ""))
        if "ECS_CLUSTER" in config and (cluster is None or cluster.status != "ACTIVE"):
            continue
        machine.booted = True
        if cluster is not None:
            _register(emulator, region, machine, cluster.name, config)


def _register(
    emulator: EmulatorState,
    region: Region,
    machine: EmulatedMachine,
    cluster: str,
    config: dict[str, str],
) -> None:
    instance = machine.instance
    machine.drains_on_notice = config.get("ECS_ENABLE_SPOT_INSTANCE_DRAINING") == "true"
    cpu, memory = resources(instance.instance_type)
    container_instance = ContainerInstance(
        arn=region.arn("container-instance", cluster, uuid.uuid4().hex),
        cluster=cluster,
        instance_id=instance.id,
        cpu=cpu,
        memory=memory,
        attributes={
            "ecs.ami-id": instance.image_id,
            "ecs.availability-zone": instance.availability_zone,
            "ecs.instance-type": instance.instance_type,
            "ecs.os-type": "linux",
            **json.loads(config.get("ECS_INSTANCE_ATTRIBUTES", "{}")),
        },
    )
    region.container_instances[container_instance.arn] = container_instance
    emulator.record_event("registered", instance_id=instance.id, cluster=cluster)


def watch_machines(emulator: EmulatorState, region: Region) -> None:
    """Drain machines with an interruption notice; stop the containers of terminated machines.

    Source: "Deregistering an Amazon ECS container instance" in the Amazon ECS Developer Guide: a
    connected agent deregisters its terminated instance. A stopped instance, or one whose agent is
    disconnected, stays registered, with the last known state of its tasks.
    """
    for container_instance in list(region.container_instances.values()):
        machine = region.machines.get(container_instance.instance_id)
        if machine is None or not machine.alive:
            _remove_terminated(
                emulator,
                region,
                container_instance,
                machine is not None and machine.instance.state == "stopped",
            )
        elif (
            container_instance.connected
            and container_instance.status == "ACTIVE"
            and _drains(machine)
        ):
            container_instance.status = "DRAINING"
            emulator.record_event("draining", instance_id=container_instance.instance_id)


def _drains(machine: EmulatedMachine) -> bool:
    return machine.ends_at is not None and machine.drains_on_notice


def _remove_terminated(
    emulator: EmulatorState, region: Region, container_instance: ContainerInstance, stopped: bool
) -> None:
    container_instance.connected = container_instance.connected and not stopped
    for task in region.tasks_on(container_instance.arn):
        if container_instance.connected:
            lose(task, container_instance.instance_id)
        elif task.container is not None:
            task.container.end()
    if container_instance.connected:
        del region.container_instances[container_instance.arn]
        emulator.record_event("deregistered", instance_id=container_instance.instance_id)


def connect(container_instance: ContainerInstance, tasks: Sequence[Task]) -> None:
    """Reconnect an agent to ECS; it then learns which tasks were stopped in the meantime."""
    container_instance.connected = True
    for task in tasks:
        if task.desired_status == "STOPPED":
            signal(task)


def disconnect(emulator: EmulatorState, container_instance: ContainerInstance) -> None:
    """Disconnect an agent: its containers keep running, but ECS loses sight of them."""
    container_instance.connected = False
    emulator.record_event("agent-disconnected", instance_id=container_instance.instance_id)
