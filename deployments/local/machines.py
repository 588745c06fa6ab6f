"""Instances: launched by fleets, booted, interrupted, gone."""

import time
import uuid
from datetime import timedelta
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from deployments.local.cloud import Cloud, Machine, Region, now
from deployments.local.fleets import Fleet, LaunchSpec

KNOWN_TYPES = frozenset(INSTANCE_TYPES)


def launch(cloud: Cloud, region: Region, fleet: Fleet, spec: LaunchSpec, spot: bool) -> str:
    """Launch one instance for a fleet; return its id.

    Subnets and groups that this account does not have stand for those of the user's own account:
    the instance then comes up in the default subnet.
    """
    reservation = region.ec2.run_instances(
        image_id=spec.image_id,
        count=1,
        user_data=spec.user_data,
        security_group_names=[],
        instance_type=spec.instance_type,
        is_instance_type_default=False,
        subnet_id=_subnet(region, spec.subnet_id),
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
    adopt(cloud, region, instance)
    cloud.tell("instance-launched", instance_id=instance.id, fleet_id=fleet.id)
    return str(instance.id)


def _subnet(region: Region, wanted: str | None) -> str:
    if wanted in {subnet.id for subnet in region.ec2.describe_subnets()}:
        return str(wanted)
    defaults = region.ec2.get_default_subnets()
    return str(defaults[min(defaults)].id)


def _volumes(spec: LaunchSpec) -> dict[str, Any]:
    # The snapshots of an image belong to it; there are none here, so volumes come up empty.
    devices = [
        device | {"Ebs": {k: v for k, v in device["Ebs"].items() if k != "SnapshotId"}}
        for device in map(dict, spec.block_devices)
        if "Ebs" in device
    ]
    return {"block_device_mappings": devices} if devices else {}


def adopt(cloud: Cloud, region: Region, instance: Any) -> None:
    """Take an instance up that is not known yet: it boots."""
    if instance.id not in region.machines and instance.state in ("pending", "running"):
        boots_at = time.monotonic() + cloud.settings.boot_seconds
        region.machines[instance.id] = Machine(instance, boots_at)


def adopt_all(cloud: Cloud, region: Region) -> None:
    """Take up the instances that RunInstances made."""
    for reservation in list(region.ec2.reservations.values()):
        for instance in reservation.instances:
            adopt(cloud, region, instance)


def user_data(machine: Machine) -> str:
    """Return an instance's user data as text."""
    data = machine.instance.user_data
    return data.decode() if data else ""


def interrupt(cloud: Cloud, machine: Machine, notice_seconds: float | None = None) -> None:
    """Give a Spot instance its interruption notice.

    Source: "Spot Instance interruption notices" in the Amazon EC2 User Guide: the notice comes two
    minutes before the instance is ended.
    """
    seconds = cloud.settings.notice_seconds if notice_seconds is None else notice_seconds
    machine.ends_at = time.monotonic() + seconds
    machine.interruption_at = now() + timedelta(seconds=seconds)
    cloud.tell("interruption-notice", instance_id=machine.instance.id, seconds=seconds)


def end_interrupted(cloud: Cloud, region: Region) -> None:
    """End the instances whose notice has run out."""
    for machine in region.machines.values():
        if machine.alive and machine.ends_at is not None and time.monotonic() >= machine.ends_at:
            region.ec2.terminate_instances([machine.instance.id])
            machine.instance.state_reason.code = "Server.SpotInstanceTermination"
            machine.instance.state_reason.message = "Server.SpotInstanceTermination: interrupted"
            cloud.tell("interrupted", instance_id=machine.instance.id)
