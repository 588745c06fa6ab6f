"""Spot Fleets: RequestSpotFleet and ModifySpotFleetRequest.

Sources, in the Amazon EC2 API Reference: SpotFleetRequestConfigData, SpotFleetLaunchSpecification,
SpotCapacityRebalance, ModifySpotFleetRequest; in the Amazon EC2 User Guide: "EC2 Fleet and Spot
Fleet quotas".
"""

from collections.abc import Iterator, Mapping
from typing import Any

from deployments.local.emulator.guards.parameter_rules.fleets import (
    MOST_CAPACITY,
    MOST_TEMPLATES,
    TERMINATION_DELAY,
    price,
    templates,
    validity,
)
from deployments.local.emulator.guards.parameter_rules.rule import Rule, RuleViolation

CODE = "InvalidSpotFleetRequestConfig"


def request_spot_fleet(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """RequestSpotFleet."""
    config = params["SpotFleetRequestConfig"]
    kind = config.get("Type", "maintain")
    if kind == "instant":
        yield RuleViolation(CODE, "Spot Fleets are of type request or maintain")
    specifications = config.get("LaunchSpecifications", [])
    configs = config.get("LaunchTemplateConfigs", [])
    if bool(specifications) == bool(configs):
        text = "Exactly one of LaunchSpecifications and LaunchTemplateConfigs must be given"
        yield RuleViolation(CODE, text)
    if len(specifications) > MOST_TEMPLATES:
        yield RuleViolation(
            CODE, f"A Spot Fleet has at most {MOST_TEMPLATES} launch specifications"
        )
    yield from capacity(config)
    yield from validity(config)
    yield from price("SpotPrice", config.get("SpotPrice"))
    if configs:
        yield from templates(configs)
    for specification in specifications:
        yield from _specification(specification)
    strategies = config.get("SpotMaintenanceStrategies", {})
    yield from _rebalancing(kind, strategies.get("CapacityRebalance"))


def modify_spot_fleet_request(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """ModifySpotFleetRequest."""
    if "TargetCapacity" in params:
        yield from capacity(params)


def capacity(config: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """The on-demand part must not exceed the total."""
    total, on_demand = config["TargetCapacity"], config.get("OnDemandTargetCapacity", 0)
    if not 0 <= total <= MOST_CAPACITY:
        yield RuleViolation(CODE, f"TargetCapacity {total} must be from 0 to {MOST_CAPACITY}")
    if not 0 <= on_demand <= total:
        text = f"OnDemandTargetCapacity {on_demand} must be from 0 to TargetCapacity {total}"
        yield RuleViolation(CODE, text)


def _specification(specification: Mapping[str, Any]) -> Iterator[RuleViolation]:
    yield from price("SpotPrice", specification.get("SpotPrice"))
    interfaces = specification.get("NetworkInterfaces", [])
    if interfaces and (specification.get("SubnetId") or specification.get("SecurityGroups")):
        text = "Subnet and security groups are given with the network interfaces when there are any"
        yield RuleViolation("InvalidParameterCombination", text)
    for interface in interfaces:
        if "DeviceIndex" not in interface:
            yield RuleViolation("MissingParameter", "A network interface must have a DeviceIndex")


def _rebalancing(kind: str, strategies: Mapping[str, Any] | None) -> Iterator[RuleViolation]:
    if strategies is None:
        return
    if kind != "maintain":
        yield RuleViolation(
            CODE, "Capacity rebalancing is supported only for fleets of type maintain"
        )
    delay = strategies.get("TerminationDelay")
    if strategies.get("ReplacementStrategy") == "launch-before-terminate":
        if delay not in TERMINATION_DELAY:
            yield RuleViolation(CODE, f"TerminationDelay {delay} must be from 120 to 7200 seconds")
    elif delay is not None:
        yield RuleViolation(CODE, "TerminationDelay is not valid with the strategy launch")


RULES: dict[str, Rule] = {
    "RequestSpotFleet": request_spot_fleet,
    "ModifySpotFleetRequest": modify_spot_fleet_request,
}
