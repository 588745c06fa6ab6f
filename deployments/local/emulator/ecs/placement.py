"""Where an ECS task may be placed: pure decisions.

Sources: "How Amazon ECS places tasks on container instances", "Cluster query language" and
"Service event messages" in the Amazon ECS Developer Guide.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

TERM = re.compile(
    r"attribute:(?P<name>[\w./-]+)\s+"
    r"(?:(?P<exists>exists)|(?P<test>==|equals|!=|not_equals)\s+(?P<value>\S+)"
    r"|in\s+\[(?P<values>[^\]]*)\])"
)


@dataclass(frozen=True)
class Host:
    """A container instance with its free resources."""

    arn: str
    cpu: int
    memory: int
    attributes: Mapping[str, str]
    tasks: int = 0


@dataclass(frozen=True)
class PlacementRequest:
    """The requirements of a task: CPU units, memory in MiB, constraints, strategy."""

    cpu: int
    memory: int
    constraints: tuple[str, ...] = ()
    distinct: bool = False
    binpack: str = ""


def allows(expression: str, attributes: Mapping[str, str]) -> bool:
    """Whether attributes match a cluster query expression.

    Supports `==`, `!=`, `in [..]` and `exists` on attributes, joined by `and` or `&&`.

    Raises:
        ValueError: The expression is not supported.
    """
    return all(
        _term(part)(attributes) for part in re.split(r"\s+(?:and|&&)\s+", expression.strip())
    )


def _term(text: str) -> Callable[[Mapping[str, str]], bool]:
    match = TERM.fullmatch(text.strip())
    if not match:
        raise ValueError(f"Invalid expression: '{text}'")
    name = match["name"]
    if match["exists"]:
        return lambda attributes: name in attributes
    if match["values"] is not None:
        values = [_unquoted(part) for part in match["values"].split(",")]
        return lambda attributes: attributes.get(name) in values
    value, equal = _unquoted(match["value"]), match["test"] in ("==", "equals")
    return lambda attributes: (attributes.get(name) == value) is equal


def _unquoted(text: str) -> str:
    return text.strip().strip("'\"")


def place(placement_request: PlacementRequest, hosts: Sequence[Host]) -> tuple[str, str]:
    """Choose the host for a task.

    Without a strategy, tasks are spread as by default in ECS: on the host with the fewest tasks.
    `binpack` chooses the host with the least of that resource left.

    Returns:
        The ARN of the host and an empty text, or an empty ARN and the reason as ECS words it.
    """
    if not hosts:
        return "", "No Container Instances were found in your cluster."
    eligible = [
        host
        for host in hosts
        if all(allows(constraint, host.attributes) for constraint in placement_request.constraints)
        and not (placement_request.distinct and host.tasks)
    ]
    if not eligible:
        arn = hosts[0].arn.rpartition("/")[2]
        text = "encountered error MemberOf placement constraint unsatisfied."
        return "", f"The closest matching (container-instance {arn}) {text}"
    fitting = [
        host
        for host in eligible
        if host.cpu >= placement_request.cpu and host.memory >= placement_request.memory
    ]
    if not fitting:
        closest = max(eligible, key=lambda host: (host.cpu >= placement_request.cpu, host.memory))
        what = "memory" if closest.cpu >= placement_request.cpu else "CPU units"
        arn = closest.arn.rpartition("/")[2]
        return (
            "",
            f"The closest matching (container-instance {arn}) has insufficient {what} available.",
        )
    if placement_request.binpack:
        return min(fitting, key=lambda host: getattr(host, placement_request.binpack)).arn, ""
    return min(fitting, key=lambda host: host.tasks).arn, ""
