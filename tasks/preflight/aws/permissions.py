"""Whether the credentials may do what the run will do: asked of AWS without doing it.

Three ways: `iam:SimulatePrincipalPolicy` for all actions of `tasks.permissions.flow_permissions`;
EC2's dry runs, which know service control policies and conditions too, for what starts machines;
and the calls that only read. A simulation knows nothing of bucket policies, so what it refuses of
S3 is a warning.
"""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from blocks import FleetTemplate
from blocks.errors import Problem
from tasks.aws.errors import AwsError, error_code, is_refused
from tasks.permissions.flow_permissions import Right, places, rights_of
from tasks.preflight.aws.dry_runs import dry_runs
from tasks.preflight.aws.iam_roles import Roles, look
from tasks.preflight.aws.permission_answers import Proof, Refusal
from tasks.preflight.finding import Finding
from tasks.runs.run import Run

PARALLEL = 8
SIMULATE = "iam:SimulatePrincipalPolicy"


def prove(run: Run, template: FleetTemplate) -> Proof:
    """Ask AWS about everything that the run will do; nothing is changed."""
    identity = run.aws.sts.get_caller_identity()
    roles = look(run, template)
    rights = list(rights_of(run.config, template))
    who = principal(run, identity["Arn"])
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="rights") as pool:
        dry = pool.submit(dry_runs, run, template)
        simulated = simulate(run, template, rights, who, roles, pool)
        return Proof(notes=roles.findings).also(simulated).also(dry.result())


def principal(run: Run, arn: str) -> str:
    """The user or role behind an identity, as a simulation takes it.

    A session of a role is told by the role's name alone, and the role may have a path (IAM User
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
    rights: Sequence[Right],
    who: str,
    roles: Roles,
    pool: ThreadPoolExecutor,
) -> Proof:
    """Ask IAM what the policies of user or role allow, a request for each resource."""
    if who.endswith(":root"):
        return Proof()  # may do everything, and cannot be simulated
    partition, account = who.split(":")[1], who.split(":")[4]
    named = places(run.config, template, partition, account)
    asked: dict[str, dict[str, Right]] = {}
    for right in rights:
        if not right.unproven:
            for resource in roles.passed if right.resource == "{roles}" else [right.resource]:
                of_resource = asked.setdefault(resource.format(**named), {})
                of_resource.update({action: right for action in right.actions})
    context = _context(run)

    def ask(resource: str) -> list[Refusal] | ClientError | BotoCoreError:
        pages = run.aws.iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=who,
            ActionNames=list(asked[resource]),
            ResourceArns=[resource],
            ContextEntries=context,
        )
        try:
            answers = [one for page in pages for one in page["EvaluationResults"]]
        except AwsError as error:
            return error
        return [
            _refusal(one, asked[resource][one["EvalActionName"]], resource)
            for one in answers
            if one["EvalDecision"] != "allowed"
        ]

    answers = list(pool.map(ask, asked))
    # What IAM does not say of one resource, it may have said of the others.
    failed = next((one for one in answers if not isinstance(one, list)), None)
    refused = tuple(one for found in answers if isinstance(found, list) for one in found)
    return Proof(refused, notes=(_not_simulated(failed, who),) if failed else ())


def _not_simulated(error: Exception, who: str) -> Finding:
    return Finding(
        "note",
        "permissions_unknown",
        Problem(
            "AWS credentials",
            f"{SIMULATE} on {who}",
            "the rights of the run could not be looked at beforehand"
            if is_refused(error)
            else "IAM could not say what the policies allow",
            got=error_code(error) or type(error).__name__,
            remedy="With this right, preflight names what the run may not do.",
        ),
    )


def _refusal(answer: Mapping[str, Any], right: Right, resource: str) -> Refusal:
    action = answer["EvalActionName"]
    explicit = answer["EvalDecision"] == "explicitDeny"
    unknown = bool(answer.get("MissingContextValues"))
    return Refusal(
        action,
        resource,
        right.step,
        sure=explicit or not (action.startswith("s3:") or unknown),
        needed=right.needed,
        why="a policy denies it" if explicit else "",
    )


def _context(run: Run) -> list[Any]:
    """What conditions of policies look at: the tags, the region and who gets a role."""
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
