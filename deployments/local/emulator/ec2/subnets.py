"""The zones of the user's subnets, which do not exist in the emulated account."""

from typing import Any

from deployments.local.emulator.core.fleet import LaunchSpec
from deployments.local.emulator.core.state import Region


def subnet_of(region: Region, spec: LaunchSpec) -> Any:
    """The emulated subnet of a machine.

    Unknown subnets are those of the user's account. The first one requested maps to the default
    subnet of the first zone, the next one to that of the second zone, and so on.
    """
    own = {subnet.id: subnet for subnet in region.ec2.describe_subnets()}
    if spec.subnet_id in own:
        return own[spec.subnet_id]
    by_zone: dict[str, Any] = region.ec2.get_default_subnets()
    zones = sorted(by_zone)
    if spec.subnet_id is None:
        return by_zone.get(spec.zone or "", by_zone[zones[0]])
    number = region.subnets.setdefault(spec.subnet_id, len(region.subnets))
    return by_zone[zones[number % len(zones)]]


def zone_of(region: Region, spec: LaunchSpec) -> str:
    """The zone of a machine."""
    return str(subnet_of(region, spec).availability_zone)
