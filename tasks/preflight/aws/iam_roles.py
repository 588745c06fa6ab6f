"""Whether the roles that machines and containers get exist."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from blocks import FleetTemplate
from blocks.errors import Problem
from tasks.aws.errors import AwsError, error_code, is_refused
from tasks.preflight.finding import Finding
from tasks.runs.run import Run

MISSING = "NoSuchEntity"


@dataclass(frozen=True)
class Roles:
    """The roles of a run.

    Attributes:
        passed: ARNs of the roles that the flows hand on (iam:PassRole).
        findings: What is wrong with them.
    """

    passed: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def look(run: Run, template: FleetTemplate) -> Roles:
    """Look at the instance profile, the role of the containers and the role of the fleet."""
    passed: list[str] = []
    found: list[Finding] = []
    for where, key, kind, name in _named(run, template):
        ask = _profile if kind == "InstanceProfile" else _role
        answer = _asked(run, ask, where, key, kind, name)
        if isinstance(answer, Finding):
            found.append(answer)
        else:
            passed += answer
            if not answer:
                found.append(
                    _finding(
                        "error",
                        where,
                        key,
                        "is an instance profile without a role: its machines cannot join the "
                        "cluster",
                        name,
                        "Add the role to it in IAM.",
                    )
                )
    return Roles(tuple(dict.fromkeys(passed)), tuple(found))


def _named(run: Run, template: FleetTemplate) -> Iterator[tuple[str, str, str, str]]:
    """Where each role is named, by which key, what it is, and its name or ARN."""
    request = template.spot_fleet_request
    if request is None:
        yield "fleet template", "instance_profile", "InstanceProfile", template.instance_profile
    else:
        yield "fleet file", "IamFleetRole", "Role", request["IamFleetRole"]
        profiles = [one["IamInstanceProfile"] for one in request["LaunchSpecifications"]]
        for name in dict.fromkeys(one.get("Arn") or one["Name"] for one in profiles):
            yield "fleet file", "IamInstanceProfile", "InstanceProfile", name
    if run.config.task_role:
        yield "run config", "task_role", "Role", run.config.task_role
    if run.config.execution_role:
        yield "run config", "execution_role", "Role", run.config.execution_role


def _profile(run: Run, name: str) -> list[str]:
    profile = run.aws.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    return [role["Arn"] for role in profile["Roles"]]


def _role(run: Run, name: str) -> list[str]:
    return [run.aws.iam.get_role(RoleName=name)["Role"]["Arn"]]


def _asked(
    run: Run,
    ask: Callable[[Run, str], list[str]],
    where: str,
    key: str,
    kind: str,
    name: str,
) -> list[str] | Finding:
    try:
        return ask(run, name.rsplit("/", 1)[-1])
    except AwsError as error:
        if error_code(error) == MISSING:
            return _finding(
                "error",
                where,
                key,
                "is not there: no machine would start, or no container have rights",
                name,
                f"Make it with dcp account create (docs/account.md), or name another {key}.",
            )
        refused = is_refused(error)
        return _finding(
            "warning",
            "AWS credentials",
            f"iam:Get{kind} on {name}",
            "is not allowed: whether it exists is not known" if refused else "AWS did not answer",
            error_code(error) or type(error).__name__,
            "",
        )


def _finding(level: Any, where: str, key: str, what: str, got: str, remedy: str) -> Finding:
    return Finding(level, "role", Problem(where, key, what, got=got, remedy=remedy))
