"""Whether a fleet can launch another machine of a pool now, and EC2's error if it cannot.

Sources: "EC2 Fleet event types" and "Spot Fleet event types" (in "Monitor and programmatically
respond to the events emitted by your EC2 Fleet or Spot Fleet") and "Spot Instance quotas" in the
Amazon EC2 User Guide; EventInformation and "Error codes" in the Amazon EC2 API Reference.
"""

from dataclasses import dataclass

from moto.ec2.models.instance_types import INSTANCE_TYPES

from deployments.local.emulator.core.account_limits import DEFAULT_QUOTA
from deployments.local.emulator.core.chaos_switches import in_pool
from deployments.local.emulator.core.fleet import ERROR, INFORMATION, EmulatedFleet, LaunchSpec
from deployments.local.emulator.core.state import EmulatorState, Region, now
from deployments.local.emulator.ec2.price_and_quota_api import spot_price
from deployments.local.emulator.ec2.subnets import zone_of

STANDARD = frozenset("acdhimrtz")  # first letters of the families of the standard quotas
SPOT_QUOTA, ON_DEMAND_QUOTA = "L-34B43A08", "L-1216C47A"
TOO_LOW = "SpotMaxPriceTooLow"
TOO_MANY_SPOT = "MaxSpotInstanceCountExceeded"


@dataclass(frozen=True)
class LaunchError:
    """EC2's error code and text for a machine that cannot be launched."""

    code: str
    text: str


def launch_error(
    emulator: EmulatorState, region: Region, fleet: EmulatedFleet, spec: LaunchSpec, spot: bool
) -> LaunchError | None:
    """Why a fleet cannot launch a machine from a specification now; None if it can."""
    zone = zone_of(region, spec)
    return (
        _refused(emulator)
        or (_price_too_low(emulator, region, spec, zone) if spot else None)
        or _quota_exceeded(emulator, region, spec, spot)
        or _no_capacity(emulator, region, fleet, spec, zone, spot)
    )


def _refused(emulator: EmulatorState) -> LaunchError | None:
    code = emulator.fault_name("refused_launches")
    return LaunchError(code, f"The launch was refused: {code}") if code else None


def _price_too_low(
    emulator: EmulatorState, region: Region, spec: LaunchSpec, zone: str
) -> LaunchError | None:
    """The default maximum price is the on-demand price ("Spot Instance requests")."""
    highest = spec.max_price or emulator.account.on_demand.get(spec.instance_type)
    price = spot_price(emulator, spec.instance_type, zone)
    if highest is None or price is None or price <= highest:
        return None
    return LaunchError(TOO_LOW, f"Spot bid price is less than Spot market price ${price:.4f}")


def _quota_exceeded(
    emulator: EmulatorState, region: Region, spec: LaunchSpec, spot: bool
) -> LaunchError | None:
    """Quotas count the vCPUs of the standard families, separately for Spot and on-demand."""
    quota = emulator.account.quotas.get(SPOT_QUOTA if spot else ON_DEMAND_QUOTA, DEFAULT_QUOTA)
    if emulator.chaos.vcpus is not None:
        quota = min(quota, emulator.chaos.vcpus)
    used = sum(
        _vcpus(machine.instance.instance_type)
        for machine in region.machines.values()
        if machine.alive and (machine.instance.lifecycle == "spot") is spot
    )
    if used + _vcpus(spec.instance_type) <= quota:
        return None
    if spot:
        return LaunchError(TOO_MANY_SPOT, "Max spot instance count exceeded")
    text = f"You have requested more vCPU capacity than your current vCPU limit of {quota:g} allows"
    return LaunchError("VcpuLimitExceeded", text)


def _vcpus(machine_type: str) -> int:
    if machine_type[:1] not in STANDARD or machine_type not in INSTANCE_TYPES:
        return 0
    return int(INSTANCE_TYPES[machine_type]["VCpuInfo"]["DefaultVCpus"])


def _no_capacity(
    emulator: EmulatorState,
    region: Region,
    fleet: EmulatedFleet,
    spec: LaunchSpec,
    zone: str,
    spot: bool,
) -> LaunchError | None:
    chaos, machine_type = emulator.chaos, spec.instance_type
    age = (now() - fleet.created_at).total_seconds()
    none = any(in_pool(pool, machine_type, zone) for pool in chaos.no_capacity) or any(
        in_pool(pool, machine_type, zone) and age < seconds for pool, seconds in chaos.late.items()
    )
    full = any(
        in_pool(pool, machine_type, zone) and _running(region, pool, machine_type) >= most
        for pool, most in chaos.at_most.items()
    )
    if not none and not full:
        return None
    text = "There is no Spot capacity available that matches your request."
    if not spot:
        text = (
            f"We currently do not have sufficient {machine_type} capacity in the Availability Zone "
            f"you requested ({zone})."
        )
    return LaunchError("InsufficientInstanceCapacity", text)


def _running(region: Region, pool: str, machine_type: str) -> int:
    return sum(
        machine.alive
        and machine.instance.instance_type == machine_type
        and in_pool(pool, machine_type, machine.instance.availability_zone)
        for machine in region.machines.values()
    )


def record_launch_error(
    fleet: EmulatedFleet, spec: LaunchSpec, zone: str, spot: bool, reason: LaunchError
) -> None:
    """Record in a fleet's history why a pool gave no machine, as an informational event."""
    what = f"{spec.instance_type}, {spec.image_id}, Linux/UNIX, {zone}"
    if reason.code == TOO_LOW:
        fleet.record(now(), INFORMATION, "launchSpecUnusable", f"{what}, {reason.text}")
        return
    kind = "spot" if spot else "on-demand"
    text = (
        f'Repeated errors have occurred processing the launch specification "{what} while '
        f'launching {kind} instance". It will not be retried for at least 13 minutes. '
        f"Error message: {reason.text} (Service: AmazonEC2; Status Code: 500; "
        f"Error Code: {reason.code})"
    )
    fleet.record(now(), INFORMATION, "launchSpecTemporarilyBlacklisted", text)


def record_halt(fleet: EmulatedFleet, reasons: list[LaunchError]) -> None:
    """Record in a fleet's history that no pool is left to try, with their errors."""
    codes = {reason.code for reason in reasons}
    if codes == {TOO_LOW}:
        text = "The price in every launch specification is below the Spot price."
        fleet.record(now(), INFORMATION, "fleetProgressHalted", text)
        return
    wrong = [reason.text for reason in reasons if reason.code.startswith("Invalid")]
    if wrong and len(wrong) == len(reasons):
        fleet.failed = True
        fleet.record(now(), ERROR, "spotFleetRequestConfigurationInvalid", "; ".join(wrong))
    elif TOO_MANY_SPOT in codes:
        fleet.record(
            now(), ERROR, "spotInstanceCountLimitExceeded", "Max spot instance count exceeded"
        )
    else:
        text = (
            "Several attempts to launch instances have failed. Either the request could not be "
            "satisfied or the configuration is not valid. We will retry the request again later. "
            "For more information, see the description of the event."
        )
        fleet.record(now(), ERROR, "allLaunchSpecsTemporarilyBlacklisted", text)
    fleet.troubled = True
