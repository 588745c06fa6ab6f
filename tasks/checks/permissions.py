"""Whether the credentials may do what the run will do: asked of AWS without doing it.

Three ways: `iam:SimulatePrincipalPolicy` for all actions of `tasks.rights`; EC2's dry runs, which
know service control policies and conditions too, for what starts machines; and the calls that only
read. A simulation knows nothing of bucket policies, so what it refuses of S3 is a warning.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from blocks import FleetTemplate
from blocks.errors import Problem
from tasks.aws import AwsError, error_code, is_refused
from tasks.checks.roles import Roles, look
from tasks.findings import Finding
from tasks.machines import launch_template_data
from tasks.rights import Right, places, rights_of
from tasks.run import Run
from tasks.spot_fleet import spot_fleet_request

PARALLEL = 8
ENDS = datetime(2100, 1, 1, tzinfo=UTC)  # of a fleet that is not asked for in earnest
SIMULATE = "iam:SimulatePrincipalPolicy"
# "User: … is not authorized to perform: ec2:RunInstances on resource: arn:… because …"
SAID = re.compile(r"not authorized to perform: (?P<action>[\w:]+) on resource: (?P<resource>\S+)")


@dataclass(frozen=True)
class Refusal:
    """An action that AWS will refuse.

    Attributes:
        action: Such as `sqs:CreateQueue`.
        resource: Its ARN, or `*`.
        step: The step that needs it.
        sure: Whether nothing that was not looked at can allow it.
        needed: Whether the run cannot be without it.
        why: What AWS says about it.
    """

    action: str
    resource: str
    step: str
    sure: bool = True
    needed: bool = True
    why: str = ""


@dataclass(frozen=True)
class Proof:
    """What AWS answered.

    Attributes:
        refused: What it will refuse.
        allowed: Actions that a dry run has shown to be allowed.
        notes: What could not be asked.
    """

    refused: tuple[Refusal, ...] = ()
    allowed: frozenset[str] = frozenset()
    notes: tuple[Finding, ...] = ()

    def also(self, other: "Proof") -> "Proof":
        """Both together."""
        return Proof(
            self.refused + other.refused, self.allowed | other.allowed, self.notes + other.notes
        )


def findings(proof: Proof) -> Iterator[Finding]:
    """The refusals, each naming action and resource (pure)."""
    yield from proof.notes
    told: set[tuple[str, str]] = set()
    for one in sorted(proof.refused, key=lambda one: (not one.sure, one.action)):
        if (one.action, one.resource) in told or (one.action in proof.allowed and not one.why):
            continue
        told.add((one.action, one.resource))
        yield Finding(
            "error" if one.sure and one.needed else "warning",
            "permission",
            Problem(
                "AWS credentials",
                f"{one.action} on {one.resource}",
                f"is not allowed, and the step {one.step} "
                + ("needs it" if one.needed else "would use it"),
                got=one.why,
                remedy="Ask the administrator of the account for it (docs/aws.md has the list)."
                if one.sure
                else "Unless a bucket policy or a condition allows it, ask for it.",
            ),
        )


def prove(run: Run, template: FleetTemplate) -> Proof:
    """Ask AWS about everything that the run will do; nothing is changed."""
    identity = run.aws.sts.get_caller_identity()
    roles = look(run, template)
    rights = list(rights_of(run.config, template))
    who = principal(run, identity["Arn"])
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="rights") as pool:
        dry = pool.submit(_dry_runs, run, template)
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

    def ask(resource: str) -> list[Refusal]:
        pages = run.aws.iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=who,
            ActionNames=list(asked[resource]),
            ResourceArns=[resource],
            ContextEntries=context,
        )
        answers = [one for page in pages for one in page["EvaluationResults"]]
        return [
            _refusal(one, asked[resource][one["EvalActionName"]], resource)
            for one in answers
            if one["EvalDecision"] != "allowed"
        ]

    try:
        return Proof(tuple(one for found in pool.map(ask, asked) for one in found))
    except AwsError as error:
        return Proof(notes=(_not_simulated(error, who),))


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


def _dry_runs(run: Run, template: FleetTemplate) -> Proof:
    """What EC2 says of the requests that start machines, each made as a dry run."""
    ec2 = run.aws.ec2
    if template.spot_fleet_request is not None:
        config: Any = spot_fleet_request(run, template.spot_fleet_request, 1, ENDS, run.run_id)
        return _dry(
            "ec2:RequestSpotFleet",
            lambda: ec2.request_spot_fleet(DryRun=True, SpotFleetRequestConfig=config),
        )
    try:
        image = template.image_id or newest_image(run, template)
    except AwsError:
        return Proof()  # the simulation names what is refused
    data: Any = launch_template_data(run, template, image)
    named = run.names.launch_template
    made = _dry(
        "ec2:CreateLaunchTemplate",
        lambda: ec2.create_launch_template(
            DryRun=True, LaunchTemplateName=named, LaunchTemplateData=data
        ),
    )
    return made.also(
        _dry(
            "ec2:RunInstances",
            lambda: ec2.run_instances(**_one_machine(run, template, data)),
        )
    )


def _one_machine(run: Run, template: FleetTemplate, data: dict[str, Any]) -> dict[str, Any]:
    (network,) = data["NetworkInterfaces"]
    if template.subnets:
        network = network | {"SubnetId": template.subnets[0]}
    one = {"MinCount": 1, "MaxCount": 1, "InstanceType": run.config.machine_type[0]}
    return data | one | {"DryRun": True, "NetworkInterfaces": [network]}


def newest_image(run: Run, template: FleetTemplate) -> str:
    """The machine image that the fleet would be started with now."""
    return run.aws.ssm.get_parameter(Name=template.image_parameter)["Parameter"]["Value"]


def _dry(action: str, ask: Callable[[], Any]) -> Proof:
    """Do a dry run, which EC2 answers with an error either way (EC2 API Reference, DryRun).

    Any answer but these two is about the request, which is made up here, or about the connection,
    and proves nothing.
    """
    try:
        ask()
    except AwsError as error:
        match error_code(error):
            case "DryRunOperation":
                return Proof(allowed=frozenset({action}))
            case "UnauthorizedOperation":
                said = SAID.search(str(error))
                refused = said["action"] if said else action
                resource = said["resource"] if said else "*"
                return Proof((Refusal(refused, resource, "fleet", why="UnauthorizedOperation"),))
    return Proof()
