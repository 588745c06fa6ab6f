"""Checks that the roles of machines and containers exist."""

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
        passed: ARNs of the roles that the flows pass to AWS (iam:PassRole).
        findings: What is wrong with them.
    """

    passed: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def check_roles(run: Run, template: FleetTemplate) -> Roles:
    """Check the instance profile, the containers' role and the fleet's role."""
    passed: list[str] = []
    findings: list[Finding] = []
    for where, key, kind, name in _named(run, template):
        arns_of = _profile if kind == "InstanceProfile" else _role
        answer = _arns_or_finding(run, arns_of, where, key, kind, name)
        if isinstance(answer, Finding):
            findings.append(answer)
        else:
            passed += answer
            if not answer:
                findings.append(
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
    return Roles(tuple(dict.fromkeys(passed)), tuple(findings))


def _named(run: Run, template: FleetTemplate) -> Iterator[tuple[str, str, str, str]]:
    """The file and key that name each role, its kind, and its name or ARN."""
    request = template.spot_fleet_request
    if request is None:
        yield "fleet template", "instance_profile", "InstanceProfile", template.instance_profile
    else:
        yield "fleet file", "IamFleetRole", "Role", request["IamFleetRole"]
        specifications = request["LaunchSpecifications"]
        profiles = [specification["IamInstanceProfile"] for specification in specifications]
        for name in dict.fromkeys(profile.get("Arn") or profile["Name"] for profile in profiles):
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


def _arns_or_finding(
    run: Run,
    arns_of: Callable[[Run, str], list[str]],
    where: str,
    key: str,
    kind: str,
    name: str,
) -> list[str] | Finding:
    try:
        return arns_of(run, name.rsplit("/", 1)[-1])
    except AwsError as error:
        if error_code(error) == MISSING:
            return _finding(
                "error",
                where,
                key,
                "does not exist: machines could not launch, or containers would lack permissions",
                name,
                f"Create it with dcp account create (docs/account.md), or name another {key}.",
            )
        refused = is_refused(error)
        return _finding(
            "warning",
            "AWS credentials",
            f"iam:Get{kind} on {name}",
            "is not allowed, so preflight could not check that it exists"
            if refused
            else "AWS did not respond",
            error_code(error) or type(error).__name__,
            "",
        )


def _finding(level: Any, where: str, key: str, what: str, got: str, remedy: str) -> Finding:
    return Finding(level, "role", Problem(where, key, what, got=got, remedy=remedy))
