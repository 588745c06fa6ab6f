"""Keeps fleets at their target: one look at every fleet, a tick."""

from moto.core.exceptions import ServiceException

from deployments.local.cloud import Cloud, Region, now
from deployments.local.fleets import Fleet, LaunchSpec
from deployments.local.machines import KNOWN_TYPES, launch


def keep_fleets(cloud: Cloud, region: Region) -> None:
    """Bring every fleet of a region a step closer to its target."""
    for fleet in region.fleets.values():
        _forget_lost(region, fleet)
        _expire(region, fleet)
        if fleet.state == "submitted":
            fleet.state = "active"
            fleet.record(now(), fleet.flavour.request_change, "active")
        if fleet.state == "modifying":
            fleet.state = "active"
            fleet.record(now(), fleet.flavour.request_change, "modify_succeeded")
        _end_excess(region, fleet)
        _launch_missing(cloud, region, fleet)
        if not fleet.open and not fleet.instances:
            fleet.state = fleet.flavour.gone


def close(region: Region, fleet: Fleet, terminate: bool) -> None:
    """Delete or cancel a fleet, with its instances or without them."""
    fleet.state = fleet.flavour.gone_terminating if terminate else fleet.flavour.gone_running
    fleet.record(now(), fleet.flavour.request_change, fleet.state)
    if terminate and fleet.instances:
        region.ec2.terminate_instances(list(fleet.instances))
        _forget_lost(region, fleet)


def _forget_lost(region: Region, fleet: Fleet) -> None:
    for instance_id in list(fleet.instances):
        if not region.machines[instance_id].alive:
            del fleet.instances[instance_id]
            fleet.on_demand.discard(instance_id)
            fleet.record(now(), fleet.flavour.instance_change, "terminated", instance=instance_id)


def _expire(region: Region, fleet: Fleet) -> None:
    if fleet.open and fleet.valid_until is not None and now() >= fleet.valid_until:
        fleet.record(now(), fleet.flavour.request_change, "expired")
        close(region, fleet, fleet.terminates_at_expiry)


def _end_excess(region: Region, fleet: Fleet) -> None:
    excess = fleet.excess()
    if excess:
        region.ec2.terminate_instances(excess)
        _forget_lost(region, fleet)


def _launch_missing(cloud: Cloud, region: Region, fleet: Fleet) -> None:
    if not fleet.shortfall() or fleet.failed:
        return
    sub_type, text = fleet.configuration_error(KNOWN_TYPES)
    if sub_type:
        fleet.failed = True
        fleet.record(now(), fleet.flavour.error, sub_type, text)
        return
    usable = fleet.usable(KNOWN_TYPES)
    while fleet.shortfall() and not fleet.failed:
        spec = usable[fleet.launches % len(usable)] if fleet.diversified else usable[0]
        _launch_one(cloud, region, fleet, spec)


def _launch_one(cloud: Cloud, region: Region, fleet: Fleet, spec: LaunchSpec) -> None:
    spot = fleet.fulfilled_on_demand >= fleet.on_demand_target
    try:
        instance_id = launch(cloud, region, fleet, spec, spot)
    except ServiceException as error:
        fleet.failed = True
        text = f"{error.code}: {error.message}"
        fleet.record(now(), fleet.flavour.error, "spotFleetRequestConfigurationInvalid", text)
        return
    fleet.instances[instance_id] = spec.weight
    fleet.launches += 1
    fleet.placed += spec.weight
    if not spot:
        fleet.on_demand.add(instance_id)
    fleet.record(
        now(),
        fleet.flavour.instance_change,
        "launched",
        f'{{"instanceType":"{spec.instance_type}","image":"{spec.image_id}"}}',
        instance_id,
    )
