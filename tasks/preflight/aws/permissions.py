"""Checks that the credentials allow all calls of the run, without making them.

Three ways: `iam:SimulatePrincipalPolicy` for all actions of `tasks.permissions.flow_permissions`;
EC2 dry runs for calls that launch machines, which also test service control policies and
conditions; and read-only calls. A simulation ignores bucket policies, so a denial for S3 is only a
warning.
"""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from blocks import FleetTemplate
from blocks.errors import Problem
from tasks.aws.errors import AwsError, error_code, is_refused
from tasks.permissions.flow_permissions import Permission, permissions_of, placeholder_values
from tasks.preflight.aws.dry_runs import dry_runs
from tasks.preflight.aws.iam_roles import Roles, check_roles
from tasks.preflight.aws.permission_answers import Denial, PermissionAnswers
from tasks.preflight.finding import Finding
from tasks.runs.run import Run

PARALLEL = 8
SIMULATE = "iam:SimulatePrincipalPolicy"


def check_permissions(run: Run, template: FleetTemplate) -> PermissionAnswers:
    """Test all calls of the run; change nothing."""
    identity = run.aws.sts.get_caller_identity()
    roles = check_roles(run, template)
    permissions = list(permissions_of(run.config, template))
    who = principal(run, identity["Arn"])
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="permissions") as pool:
        dry = pool.submit(dry_runs, run, template)
        simulated = simulate(run, template, permissions, who, roles, pool)
        return (
            PermissionAnswers(notes=roles.findings).merged_with(simulated).merged_with(dry.result())
        )


def principal(run: Run, arn: str) -> str:
    """The user or role behind an identity, in the form that a simulation accepts.

    The ARN of a role session has only the role's name, but the role may have a path (IAM User
    Guide, "IAM identifiers").
    """
    session = re.fullmatch(r"arn:([\w-]+):sts::(\d+):assumed-role/([^/]+)/.*", arn)
    if session is None:
        return arn
    try:
        return run.aws.iam.get_role(RoleName=session[3])["Role"]["Arn"]
    except AwsError:
        return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}"


def simulate(
    run: Run,
    template: FleetTemplate,
    permissions: Sequence[Permission],
    who: str,
    roles: Roles,
    pool: ThreadPoolExecutor,
) -> PermissionAnswers:
    """Ask IAM what the policies of a user or role allow, one request per resource."""
    if who.endswith(":root"):
        return PermissionAnswers()  # is allowed everything, and cannot be simulated
    partition, account = who.split(":")[1], who.split(":")[4]
    names = placeholder_values(run.config, template, partition, account)
    by_resource: dict[str, dict[str, Permission]] = {}
    for permission in permissions:
        if not permission.not_simulated:
            for resource in (
                roles.passed if permission.resource == "{roles}" else [permission.resource]
            ):
                by_action = by_resource.setdefault(resource.format(**names), {})
                by_action.update({action: permission for action in permission.actions})
    context = _context(run)

    def ask(resource: str) -> list[Denial] | ClientError | BotoCoreError:
        pages = run.aws.iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=who,
            ActionNames=list(by_resource[resource]),
            ResourceArns=[resource],
            ContextEntries=context,
        )
        try:
            results = [result for page in pages for result in page["EvaluationResults"]]
        except AwsError as error:
            return error
        return [
            _denial(result, by_resource[resource][result["EvalActionName"]], resource)
            for result in results
            if result["EvalDecision"] != "allowed"
        ]

    answers = list(pool.map(ask, by_resource))
    # IAM may fail for one resource and still answer for the others.
    failed = next((answer for answer in answers if not isinstance(answer, list)), None)
    refused = tuple(denial for answer in answers if isinstance(answer, list) for denial in answer)
    return PermissionAnswers(refused, notes=(_not_simulated(failed, who),) if failed else ())


def _not_simulated(error: Exception, who: str) -> Finding:
    return Finding(
        "note",
        "permissions_unknown",
        Problem(
            "AWS credentials",
            f"{SIMULATE} on {who}",
            "is not allowed, so preflight could not check the run's permissions"
            if is_refused(error)
            else "IAM could not evaluate the policies",
            got=error_code(error) or type(error).__name__,
            remedy="With this permission, preflight lists all calls that AWS would deny.",
        ),
    )


def _denial(answer: Mapping[str, Any], permission: Permission, resource: str) -> Denial:
    action = answer["EvalActionName"]
    explicit = answer["EvalDecision"] == "explicitDeny"
    unknown = bool(answer.get("MissingContextValues"))
    return Denial(
        action,
        resource,
        permission.step,
        certain=explicit or not (action.startswith("s3:") or unknown),
        needed=permission.needed,
        why="a policy denies it" if explicit else "",
    )


def _context(run: Run) -> list[Any]:
    """Values for the conditions of policies: tags, region, and services that receive a role."""
    entries = [("aws:RequestedRegion", [run.config.aws_region])]
    for key, value in run.tags.items():
        entries += [
            (f"{kind}/{key}", [value])
            for kind in ("aws:RequestTag", "aws:ResourceTag", "ec2:ResourceTag", "ecs:ResourceTag")
        ]
    services = ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com", "spotfleet.amazonaws.com"]
    texts = [
        {"ContextKeyName": key, "ContextKeyValues": values, "ContextKeyType": "string"}
        for key, values in entries
    ]
    passed = {"ContextKeyName": "iam:PassedToService", "ContextKeyValues": services}
    return [*texts, passed | {"ContextKeyType": "stringList"}]
