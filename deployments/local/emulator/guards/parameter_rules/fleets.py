"""EC2 Fleets: CreateFleet and ModifyFleet.

Sources, in the Amazon EC2 API Reference: CreateFleet, TargetCapacitySpecificationRequest,
SpotOptionsRequest, OnDemandOptionsRequest, FleetSpotCapacityRebalanceRequest,
FleetLaunchTemplateSpecificationRequest; in the Amazon EC2 User Guide: "EC2 Fleet and Spot Fleet
quotas".
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from deployments.local.emulator.guards.parameter_rules.rule import Rule, RuleViolation

MOST_CAPACITY = 10_000
MOST_TEMPLATES = 50
MOST_OVERRIDES = 300
TERMINATION_DELAY = range(120, 7201)
INSTANT_ONLY = (
    "SingleInstanceType",
    "SingleAvailabilityZone",
    "MinTargetCapacity",
    "MaxTotalPrice",
)


def value(text: str) -> RuleViolation:
    """An invalid value."""
    return RuleViolation("InvalidParameterValue", text)


def combination(text: str) -> RuleViolation:
    """An invalid combination of values."""
    return RuleViolation("InvalidParameterCombination", text)


def create_fleet(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """CreateFleet."""
    kind = params.get("Type", "maintain")
    yield from capacity(params["TargetCapacitySpecification"])
    yield from validity(params)
    yield from templates(params["LaunchTemplateConfigs"])
    yield from _options(kind, params)
    if kind != "maintain":
        for name in ("ExcessCapacityTerminationPolicy", "ReplaceUnhealthyInstances"):
            if name in params:
                yield combination(f"{name} is supported only for fleets of type maintain")


def modify_fleet(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """ModifyFleet."""
    if "TargetCapacitySpecification" in params:
        yield from capacity(params["TargetCapacitySpecification"])
    if "LaunchTemplateConfigs" in params:
        yield from templates(params["LaunchTemplateConfigs"])


def capacity(specification: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """The parts of a target capacity must add up to the total."""
    total = specification["TotalTargetCapacity"]
    parts = {
        name: specification.get(name) for name in ("OnDemandTargetCapacity", "SpotTargetCapacity")
    }
    if not 0 <= total <= MOST_CAPACITY:
        yield value(f"TotalTargetCapacity {total} must be from 0 to {MOST_CAPACITY}")
    for name, part in parts.items():
        if part is not None and not 0 <= part <= total:
            yield value(f"{name} {part} must be from 0 to TotalTargetCapacity {total}")
    if None not in parts.values() and sum(part or 0 for part in parts.values()) != total:
        yield combination(f"{parts} do not add up to TotalTargetCapacity {total}")


def validity(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """A request must expire in the future, and after its start."""
    begins, ends = (_time(params.get(name)) for name in ("ValidFrom", "ValidUntil"))
    if ends is not None and ends <= datetime.now(UTC):
        yield value(f"ValidUntil {ends.isoformat()} is in the past")
    if begins is not None and ends is not None and begins >= ends:
        yield combination(f"ValidFrom {begins.isoformat()} is not before ValidUntil")


def _time(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=UTC)


def templates(configs: list[Mapping[str, Any]]) -> Iterator[RuleViolation]:
    """Launch templates and their overrides."""
    if not 1 <= len(configs) <= MOST_TEMPLATES:
        yield value(f"A fleet has 1 to {MOST_TEMPLATES} launch templates, not {len(configs)}")
    for config in configs:
        template = config.get("LaunchTemplateSpecification", {})
        if ("LaunchTemplateId" in template) == ("LaunchTemplateName" in template):
            text = "Exactly one of LaunchTemplateId and LaunchTemplateName must be given"
            yield RuleViolation(
                "MissingParameter" if not template else "InvalidParameterCombination", text
            )
        if not template.get("Version"):
            yield RuleViolation(
                "MissingParameter", "A launch template must be given with its Version"
            )
        overrides = config.get("Overrides", [])
        if len(overrides) > MOST_OVERRIDES:
            yield value(f"A launch template has at most {MOST_OVERRIDES} overrides")
        for override in overrides:
            yield from _override(override)


def _override(override: Mapping[str, Any]) -> Iterator[RuleViolation]:
    if "InstanceType" in override and "InstanceRequirements" in override:
        yield combination("InstanceType and InstanceRequirements exclude each other")
    yield from price("MaxPrice", override.get("MaxPrice"))
    if "WeightedCapacity" in override and override["WeightedCapacity"] <= 0:
        yield value(f"WeightedCapacity {override['WeightedCapacity']} must be above 0")


def price(name: str, amount: str | None) -> Iterator[RuleViolation]:
    """A price is a number above 0."""
    try:
        sound = amount is None or float(amount) > 0
    except ValueError:
        sound = False
    if not sound:
        yield value(f"{name} '{amount}' must be a number above 0")


def _options(kind: str, params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    spot, on_demand = params.get("SpotOptions", {}), params.get("OnDemandOptions", {})
    for options in (spot, on_demand):
        for name in INSTANT_ONLY:
            if name in options and kind != "instant":
                yield combination(f"{name} is supported only for fleets of type instant")
    strategy = spot.get("AllocationStrategy", "lowest-price")
    if "InstancePoolsToUseCount" in spot and strategy != "lowest-price":
        text = f"InstancePoolsToUseCount is not supported with the allocation strategy {strategy}"
        yield combination(text)
    for name in ("MaxTotalPrice", "MaxPrice"):
        yield from price(name, spot.get(name))
    if "MaintenanceStrategies" in spot:
        yield from _rebalancing(kind, spot["MaintenanceStrategies"].get("CapacityRebalance", {}))


def _rebalancing(kind: str, strategy: Mapping[str, Any]) -> Iterator[RuleViolation]:
    if kind != "maintain":
        yield combination("MaintenanceStrategies is supported only for fleets of type maintain")
    delay = strategy.get("TerminationDelay")
    if strategy.get("ReplacementStrategy") == "launch-before-terminate":
        if delay is None:
            text = "TerminationDelay is required with the strategy launch-before-terminate"
            yield RuleViolation("MissingParameter", text)
        elif delay not in TERMINATION_DELAY:
            yield value(f"TerminationDelay {delay} must be from 120 to 7200 seconds")
    elif delay is not None:
        yield combination("TerminationDelay is not valid with the strategy launch")


RULES: dict[str, Rule] = {"CreateFleet": create_fleet, "ModifyFleet": modify_fleet}
