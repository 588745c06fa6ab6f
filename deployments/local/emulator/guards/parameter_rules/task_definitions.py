"""Task definitions: RegisterTaskDefinition.

Sources, in the Amazon ECS API Reference: RegisterTaskDefinition, ContainerDefinition,
LogConfiguration, PortMapping; in the Amazon ECS Developer Guide: "Amazon ECS task definition
parameters", "Send Amazon ECS logs to CloudWatch" (options of awslogs).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployments.local.emulator.guards.parameter_rules.rule import Rule, RuleViolation

NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
LEAST_MEMORY = 6  # MiB, of Docker 20.10 and later
FARGATE_STOP = range(0, 121)
AWSLOGS = {
    "awslogs-create-group",
    "awslogs-datetime-format",
    "awslogs-group",
    "awslogs-multiline-pattern",
    "awslogs-region",
    "awslogs-stream-prefix",
    "max-buffer-size",
    "mode",
}


def wrong(text: str) -> RuleViolation:
    """ECS's error for an invalid task definition."""
    return RuleViolation("ClientException", text)


def register_task_definition(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """RegisterTaskDefinition."""
    containers = params["containerDefinitions"]
    if not NAME.fullmatch(params["family"]):
        yield wrong(f"Family {params['family']!r}: up to 255 letters, numbers, - and _")
    if not containers:
        yield wrong("Container list cannot be empty.")
    names = [container.get("name", "") for container in containers]
    if len(set(names)) < len(names):
        yield wrong(f"Container names must be unique: {names}")
    if containers and not any(container.get("essential", True) for container in containers):
        yield wrong("TaskDefinition must have at least one essential container")
    yield from _fargate(params)
    for container in containers:
        yield from _container(container, params)


def _fargate(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    if "FARGATE" not in params.get("requiresCompatibilities", []):
        return
    if params.get("networkMode") != "awsvpc":
        yield wrong("Fargate only supports network mode 'awsvpc'.")
    if not params.get("cpu") or not params.get("memory"):
        yield wrong("Fargate requires that 'cpu' and 'memory' be defined at the task level.")
    for container_definition in params["containerDefinitions"]:
        if container_definition.get("privileged"):
            yield wrong("Fargate does not support privileged containers.")
        if container_definition.get("stopTimeout", 0) not in FARGATE_STOP:
            yield wrong("Fargate's stopTimeout is at most 120 seconds.")


def _container(container: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    if not NAME.fullmatch(container.get("name", "")):
        yield wrong(
            f"Container.name {container.get('name')!r}: up to 255 letters, numbers, - and _"
        )
    if not container.get("image"):
        yield wrong("Container.image should not be null or empty.")
    yield from _memory(container, params.get("memory"))
    if container.get("cpu", 0) < 0 or container.get("stopTimeout", 0) < 0:
        yield wrong("cpu and stopTimeout are not below 0")
    yield from _ports(container.get("portMappings", []), params.get("networkMode", "bridge"))
    yield from _secrets(container, params)
    yield from _logs(container.get("logConfiguration"))


def _memory(container: Mapping[str, Any], of_task: str | None) -> Iterator[RuleViolation]:
    memory, reservation = container.get("memory"), container.get("memoryReservation")
    if not memory and not reservation and not of_task:
        yield wrong(
            "Invalid setting for container. At least one of 'memory' or 'memoryReservation' must "
            "be specified."
        )
    for limit in (memory, reservation):
        if limit is not None and limit < LEAST_MEMORY:
            yield wrong(f"The memory of a container is at least {LEAST_MEMORY} MiB, not {limit}")
    if memory and reservation and memory < reservation:
        yield wrong("'memory' must be greater than 'memoryReservation'")


def _ports(mappings: list[Mapping[str, Any]], mode: str) -> Iterator[RuleViolation]:
    if mode == "none" and mappings:
        yield wrong("Port mappings are not valid with network mode 'none'.")
    for mapping in mappings:
        host, container_port = mapping.get("hostPort"), mapping.get("containerPort")
        if mode in ("awsvpc", "host") and host not in (None, container_port):
            yield wrong(f"With network mode '{mode}', hostPort and containerPort must match.")


def _secrets(container: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    secrets = [variable["name"] for variable in container.get("secrets", [])]
    shared = set(secrets) & {variable.get("name") for variable in container.get("environment", [])}
    if shared:
        yield wrong(
            "The secret name must be unique and not shared with any new or existing environment "
            f"variables set on the container, such as {sorted(shared)[0]!r}."
        )
    if secrets and not params.get("executionRoleArn"):
        yield wrong(
            "When you are specifying container secrets, you must also specify a value for "
            "'executionRoleArn'."
        )


def _logs(configuration: Mapping[str, Any] | None) -> Iterator[RuleViolation]:
    if configuration is None:
        return
    options = configuration.get("options", {})
    if configuration["logDriver"] == "awslogs":
        for name in ("awslogs-group", "awslogs-region"):
            if not options.get(name):
                yield wrong(f"Log driver awslogs requires option: {name}")
        for name in sorted(set(options) - AWSLOGS):
            yield wrong(f"Log driver awslogs disallows options: {name}")
    if options.get("mode", "blocking") not in ("blocking", "non-blocking"):
        yield wrong(f"mode {options['mode']!r} must be blocking or non-blocking")
    if "max-buffer-size" in options and options.get("mode") != "non-blocking":
        yield wrong("max-buffer-size is only used with mode non-blocking")


RULES: dict[str, Rule] = {"RegisterTaskDefinition": register_task_definition}
