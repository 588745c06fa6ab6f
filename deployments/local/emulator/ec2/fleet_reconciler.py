"""Keeps fleets at their target capacity, one step per tick."""

import json
import time

from moto.core.exceptions import ServiceException

from deployments.local.emulator.core.fleet import (
    ERROR,
    INSTANCE_CHANGE,
    REQUEST_CHANGE,
    EmulatedFleet,
    LaunchSpec,
)
from deployments.local.emulator.core.state import EmulatorState, Region, now
from deployments.local.emulator.ec2.capacity import (
    LaunchError,
    launch_error,
    record_halt,
    record_launch_error,
)
from deployments.local.emulator.ec2.instances import KNOWN_TYPES, launch
from deployments.local.emulator.ec2.subnets import zone_of


def reconcile_fleets(emulator: EmulatorState, region: Region) -> None:
    """Bring every fleet of a region one step closer to its target."""
    for fleet in region.fleets.values():
        _forget_lost(region, fleet)
        _expire(region, fleet)
        if fleet.state == "submitted":
            fleet.state = "active"
            fleet.record(now(), REQUEST_CHANGE, "active")
        if fleet.state == "modifying":
            fleet.state = "active"
            fleet.record(now(), REQUEST_CHANGE, "modify_succeeded")
        _end_excess(region, fleet)
        _rebalance(region, fleet)
        _launch_missing(emulator, region, fleet)
        _end_replaced(emulator, region, fleet)
        if not fleet.open and not fleet.instances:
            fleet.state = fleet.flavour.gone


def close(region: Region, fleet: EmulatedFleet, terminate: bool) -> None:
    """Delete or cancel a fleet, with or without its instances."""
    fleet.state = fleet.flavour.gone_terminating if terminate else fleet.flavour.gone_running
    fleet.record(now(), REQUEST_CHANGE, fleet.state)
    if terminate and fleet.instances:
        region.ec2.terminate_instances(list(fleet.instances))
        _forget_lost(region, fleet)


def _forget_lost(region: Region, fleet: EmulatedFleet) -> None:
    for instance_id in list(fleet.instances):
        machine = region.machines.get(instance_id)
        if machine is not None and machine.alive:
            continue
        del fleet.instances[instance_id]
        fleet.on_demand.discard(instance_id)
        fleet.leaving.pop(instance_id, None)
        fleet.record(now(), INSTANCE_CHANGE, "terminated", instance=instance_id)


def _expire(region: Region, fleet: EmulatedFleet) -> None:
    if fleet.open and fleet.valid_until is not None and now() >= fleet.valid_until:
        fleet.record(now(), REQUEST_CHANGE, "expired")
        close(region, fleet, fleet.terminates_at_expiry)


def _end_excess(region: Region, fleet: EmulatedFleet) -> None:
    excess = fleet.excess()
    for instance_id in excess:
        fleet.record(now(), INSTANCE_CHANGE, "termination_notified", instance=instance_id)
    if excess:
        region.ec2.terminate_instances(excess)
        _forget_lost(region, fleet)


def _launch_missing(emulator: EmulatorState, region: Region, fleet: EmulatedFleet) -> None:
    if not fleet.shortfall() or fleet.failed:
        return
    sub_type, text = fleet.configuration_error(KNOWN_TYPES)
    if sub_type:
        fleet.failed = True
        fleet.record(now(), ERROR, sub_type, text)
        return
    for spot in (False, True):
        _launch_part(emulator, region, fleet, spot)


def _launch_part(emulator: EmulatorState, region: Region, fleet: EmulatedFleet, spot: bool) -> None:
    """Launch missing Spot or on-demand machines; skips empty pools for a time."""
    start = time.monotonic()
    usable = fleet.usable(KNOWN_TYPES)
    tried = [spec for spec in usable if start >= fleet.retry_at.get((*spec.pool, spot), 0.0)]
    reasons: list[LaunchError] = []
    while fleet.missing(spot) and tried and not fleet.failed:
        spec = tried[fleet.launches % len(tried)] if fleet.diversified else tried[0]
        reason = _launch_one(emulator, region, fleet, spec, spot)
        if reason is not None:
            reasons.append(reason)
            tried = [candidate for candidate in tried if candidate.pool != spec.pool]
            fleet.retry_at[*spec.pool, spot] = start + emulator.settings.retry_seconds
            record_launch_error(fleet, spec, zone_of(region, spec), spot, reason)
    if reasons and not tried:
        record_halt(fleet, reasons)


def _launch_one(
    emulator: EmulatorState, region: Region, fleet: EmulatedFleet, spec: LaunchSpec, spot: bool
) -> LaunchError | None:
    """Launch a machine; return the reason if that fails."""
    reason = launch_error(emulator, region, fleet, spec, spot)
    if reason is not None:
        return reason
    try:
        instance_id = launch(emulator, region, fleet, spec, spot)
    except ServiceException as error:
        fleet.failed = True
        text = f"{error.code}: {error.message}"
        fleet.record(now(), ERROR, "spotFleetRequestConfigurationInvalid", text)
        return None
    fleet.instances[instance_id] = spec.weight
    fleet.launches += 1
    fleet.placed += spec.weight
    fleet.troubled = False
    if not spot:
        fleet.on_demand.add(instance_id)
    if region.machines[instance_id].fails:
        fleet.retry_at[*spec.pool, spot] = time.monotonic() + emulator.settings.retry_seconds
    what = {
        "instanceType": spec.instance_type,
        "image": spec.image_id,
        "productDescription": "Linux/UNIX",
        "availabilityZone": zone_of(region, spec),
    }
    text = json.dumps(what, separators=(",", ":"))
    fleet.record(now(), INSTANCE_CHANGE, "launched", text, instance_id)
    return None


def _rebalance(region: Region, fleet: EmulatedFleet) -> None:
    """Mark machines with a rebalance recommendation for replacement.

    Source: "Capacity Rebalancing" in the Amazon EC2 User Guide: the replacement is launched before
    the interruption, so that the fleet exceeds its target for a time.
    """
    if not fleet.rebalances or fleet.state != "active":
        return
    for instance_id in fleet.instances:
        if region.machines[instance_id].recommended_at is not None:
            fleet.leaving.setdefault(instance_id, None)


def _end_replaced(emulator: EmulatorState, region: Region, fleet: EmulatedFleet) -> None:
    """Terminate replaced machines after the termination delay (`launch-before-terminate`)."""
    if fleet.termination_delay is None or fleet.shortfall():
        return
    over: list[str] = []
    delay = fleet.termination_delay / emulator.settings.speed
    for instance_id, ends_at in fleet.leaving.items():
        if ends_at is None:
            fleet.leaving[instance_id] = time.monotonic() + delay
        elif time.monotonic() >= ends_at:
            over.append(instance_id)
    if over:
        region.ec2.terminate_instances(over)
        _forget_lost(region, fleet)
