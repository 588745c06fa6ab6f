"""ECS services: CreateService and UpdateService.

Sources, in the Amazon ECS API Reference: CreateService, UpdateService, DeploymentConfiguration,
PlacementConstraint, PlacementStrategy.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployments.local.emulator.guards.parameter_rules.rule import Rule, RuleViolation

NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
MOST_CONSTRAINTS = 10
MOST_STRATEGIES = 5


def wrong(text: str) -> RuleViolation:
    """ECS's error for an invalid service."""
    return RuleViolation("InvalidParameterException", text)


def create_service(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """CreateService."""
    if not NAME.fullmatch(params["serviceName"]):
        yield wrong(f"Service name {params['serviceName']!r}: up to 255 letters, numbers, - and _")
    controller = params.get("deploymentController", {}).get("type", "ECS")
    if not params.get("taskDefinition") and controller == "ECS":
        yield wrong("TaskDefinition can not be blank.")
    daemon = params.get("schedulingStrategy", "REPLICA") == "DAEMON"
    if daemon and ("desiredCount" in params or params.get("placementStrategy")):
        yield wrong("A daemon service has no desired count and no placement strategy.")
    if not daemon and "desiredCount" not in params:
        yield wrong("The desired count of a replica service must be given.")
    if params.get("launchType") and params.get("capacityProviderStrategy"):
        yield wrong("Specifying both a launch type and capacity provider strategy is not valid.")
    yield from _common(params)


def update_service(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """UpdateService."""
    yield from _common(params)


def _common(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    if params.get("desiredCount", 0) < 0:
        yield wrong("The desired count is not below 0.")
    constraints = params.get("placementConstraints", [])
    if len(constraints) > MOST_CONSTRAINTS:
        yield wrong(f"A service has at most {MOST_CONSTRAINTS} placement constraints.")
    for constraint in constraints:
        if constraint.get("type") == "memberOf" and not constraint.get("expression"):
            yield wrong("A placement constraint of type memberOf has an expression.")
        if constraint.get("type") == "distinctInstance" and constraint.get("expression"):
            yield wrong("A placement constraint of type distinctInstance has no expression.")
    strategies = params.get("placementStrategy", [])
    if len(strategies) > MOST_STRATEGIES:
        yield wrong(f"A service has at most {MOST_STRATEGIES} placement strategies.")
    for strategy in strategies:
        if strategy.get("type") == "binpack" and strategy.get("field", "").lower() not in (
            "cpu",
            "memory",
        ):
            yield wrong("A placement strategy of type binpack is by cpu or memory.")
    yield from _deployment(params.get("deploymentConfiguration", {}))


def _deployment(configuration: Mapping[str, Any]) -> Iterator[RuleViolation]:
    most, least = (
        configuration.get("maximumPercent", 200),
        configuration.get("minimumHealthyPercent", 100),
    )
    if least < 0 or least > 100 or most < 0:
        yield wrong(f"minimumHealthyPercent {least} must be from 0 to 100, maximumPercent above 0")
    if most == least == 100:
        yield wrong(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block "
            "deployments."
        )
    if most < least:
        yield wrong("maximumPercent must not be less than minimumHealthyPercent")


RULES: dict[str, Rule] = {"CreateService": create_service, "UpdateService": update_service}
