"""Instances: launched by fleets, booted, interrupted, terminated."""

import copy
import time
import uuid
from datetime import timedelta
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance

from deployments.local.emulator.core.fleet import EmulatedFleet, LaunchSpec
from deployments.local.emulator.core.state import EmulatedMachine, EmulatorState, Region, now
from deployments.local.emulator.ec2.subnets import subnet_of

KNOWN_TYPES = frozenset(INSTANCE_TYPES)

# "Instance terminates immediately" and StateReason in the Amazon EC2 User Guide and API Reference.
LAUNCH_ERRORS = {
    "Client.InternalError": "Client error on launch",
    "Client.InvalidSnapshot.NotFound": "The specified snapshot was not found",
    "Client.VolumeLimitExceeded": "Volume limit exceeded",
    "Server.InsufficientInstanceCapacity": "Insufficient capacity to satisfy instance request",
    "Server.InternalError": "Internal error on launch",
}


def launch(
    emulator: EmulatorState, region: Region, fleet: EmulatedFleet, spec: LaunchSpec, spot: bool
) -> str:
    """Launch one instance for a fleet; return its id."""
    reservation = region.ec2.run_instances(
        image_id=spec.image_id,
        count=1,
        user_data=spec.user_data,
        security_group_names=[],
        instance_type=spec.instance_type,
        is_instance_type_default=False,
        subnet_id=str(subnet_of(region, spec).id),
        key_name=spec.key_name,
        region_name=region.name,
        lifecycle="spot" if spot else None,
        iam_instance_profile=spec.instance_profile,
        associate_public_ip=bool(spec.public_ip),
        tags={
            **spec.tags,
            "instance": {**spec.tags.get("instance", {}), fleet.flavour.tag: fleet.id},
        },
        **_volumes(spec),
    )
    instance = reservation.instances[0]
    instance._state.name, instance._state.code = "pending", 0
    if spot:
        request = f"sir-{uuid.uuid4().hex[:8]}"
        instance.spot_instance_request_id = fleet.spot_requests[instance.id] = request
    adopt(emulator, region, instance)
    emulator.record_event("instance-launched", instance_id=instance.id, fleet_id=fleet.id)
    return str(instance.id)


def _volumes(spec: LaunchSpec) -> dict[str, Any]:
    # Snapshots belong to images and do not exist here, so volumes are empty.
    devices = [
        device | {"Ebs": {k: v for k, v in device["Ebs"].items() if k != "SnapshotId"}}
        for device in map(dict, spec.block_devices)
        if "Ebs" in device
    ]
    return {"block_device_mappings": devices} if devices else {}


def adopt(emulator: EmulatorState, region: Region, instance: Any) -> None:
    """Register a new instance, which then boots."""
    if instance.id not in region.machines and instance.state in ("pending", "running"):
        boots_at = time.monotonic() + emulator.settings.boot_seconds
        number = emulator.number("machine")
        fails = emulator.chaos.fault_name("launch_errors", number)
        machine = EmulatedMachine(instance, boots_at, number=number, fails=fails)
        region.machines[instance.id] = machine


def adopt_all(emulator: EmulatorState, region: Region) -> None:
    """Register the instances of RunInstances."""
    for reservation in list(region.ec2.reservations.values()):
        for instance in reservation.instances:
            adopt(emulator, region, instance)


def user_data(machine: EmulatedMachine) -> str:
    """Return an instance's user data as text."""
    data = machine.instance.user_data
    return data.decode() if data else ""


def interrupt(
    emulator: EmulatorState, machine: EmulatedMachine, notice_seconds: float | None = None
) -> None:
    """Give a Spot instance an interruption notice.

    Source: "Spot Instance interruption notices" in the Amazon EC2 User Guide: the notice comes two
    minutes before the instance is terminated.
    """
    seconds = emulator.settings.notice_seconds if notice_seconds is None else notice_seconds
    machine.ends_at = time.monotonic() + seconds
    machine.interruption_at = now() + timedelta(seconds=seconds)
    emulator.record_event("interruption-notice", instance_id=machine.instance.id, seconds=seconds)


def recommend_rebalance(emulator: EmulatorState, machine: EmulatedMachine) -> None:
    """Send a Spot instance a rebalance recommendation: its risk of interruption is elevated.

    Source: "EC2 instance rebalance recommendations" in the Amazon EC2 User Guide.
    """
    if machine.recommended_at is None:
        machine.recommended_at = now()
        emulator.record_event("rebalance-recommendation", instance_id=machine.instance.id)


def end_interrupted(emulator: EmulatorState, region: Region) -> None:
    """Terminate the instances whose notice has expired."""
    for machine in region.machines.values():
        if machine.alive and machine.ends_at is not None and time.monotonic() >= machine.ends_at:
            _end(region, machine, "Server.SpotInstanceTermination", "Spot instance termination")
            emulator.record_event("interrupted", instance_id=machine.instance.id)


def fail_launches(emulator: EmulatorState, region: Region) -> None:
    """Terminate the instances whose launch fails: from pending to terminated, with the reason.

    Source: "Troubleshoot Amazon EC2 instance launch issues" (instance terminates immediately) in
    the Amazon EC2 User Guide.
    """
    for machine in region.machines.values():
        if machine.fails and machine.alive and not machine.booted:
            _end(region, machine, machine.fails, LAUNCH_ERRORS.get(machine.fails, "Launch failed"))
            emulator.record_event(
                "launch-failed", instance_id=machine.instance.id, code=machine.fails
            )


def _end(region: Region, machine: EmulatedMachine, code: str, text: str) -> None:
    """Terminate an instance without a user's request, so that its state transition has no time."""
    region.ec2.terminate_instances([machine.instance.id])
    machine.instance.state_reason.code = code
    machine.instance.state_reason.message = f"{code}: {text}"
    machine.instance._reason = code


def forget_terminated(emulator: EmulatorState, region: Region) -> None:
    """Drop instances some time after their termination; until then DescribeInstances shows them.

    Source: "Terminate Amazon EC2 instances" in the Amazon EC2 User Guide: a terminated instance
    remains visible for a short while, about an hour.
    """
    gone = set()
    for machine in region.machines.values():
        if machine.instance.state == "terminated":
            machine.ended_at = machine.ended_at or time.monotonic()
            if time.monotonic() - machine.ended_at >= emulator.settings.terminated_seconds:
                gone.add(machine.instance.id)
    if not gone:
        return
    for reservation_id, reservation in list(region.ec2.reservations.items()):
        remaining = [instance for instance in reservation.instances if instance.id not in gone]
        reservation.instances = remaining
        if not remaining:
            del region.ec2.reservations[reservation_id]
    for instance_id in gone:
        del region.machines[instance_id]


def replace() -> None:
    """Make moto's instances terminate only once: on AWS, a second request changes nothing."""
    original = Instance.terminate

    def terminate(self: Any) -> Any:
        if self.state == "terminated":
            return copy.copy(self._state)
        before = original(self)
        self._reason = self._reason.replace(" UTC)", " GMT)")
        return before

    setattr(Instance, "terminate", terminate)  # noqa: B010 - mypy rejects a plain assignment
