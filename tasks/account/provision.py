"""Creates, checks and removes dcp's resources in an account; touches nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from blocks.errors import DcpError
from blocks.resource_names import Names
from tasks.account import role_policies
from tasks.account.admin_permissions import ADMINISTRATOR
from tasks.account.bucket_policies import ExportPolicy
from tasks.account.iam_resources import InstanceProfile, ManagedPolicy, Role, ServiceLinkedRole
from tasks.account.lambda_resources import Function, LogGroup, Schedule
from tasks.account.policy_statements import Document, Statement, document
from tasks.account.resource import AS_MADE, MISSING, Look, Part
from tasks.account.setup_config import FLEET_ROLE, INSTANCE_ROLE, AccountAws, Setup, other_owners
from tasks.aws.errors import AwsError
from tasks.fleet.ec2_fleet import ENDED_STATES as ENDED_FLEETS
from tasks.fleet.instances import LIVE_STATES
from tasks.fleet.spot_fleet import ENDED_STATES as ENDED_SPOT_FLEETS

SERVICES = {
    "ecs.amazonaws.com": "clusters",
    "spot.amazonaws.com": "spot machines",
    "ec2fleet.amazonaws.com": "fleets",
    "spotfleet.amazonaws.com": "fleets of DCP fleet files",
    "events.amazonaws.com": "idle alarms terminate machines",
}
# AWS's own policies for these roles (Amazon ECS Developer Guide, "Amazon ECS container instance
# IAM role", "Amazon ECS task execution IAM role"; Amazon EC2 User Guide, "Spot Fleet permissions").
FOR_MACHINES = "arn:{partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
FOR_EXECUTION = "arn:{partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
FOR_FLEETS = "arn:{partition}:iam::aws:policy/service-role/AmazonEC2SpotFleetTaggingRole"


@dataclass(frozen=True)
class Piece:
    """A part, and whether this set-up includes it.

    Attributes:
        part: The part.
        wanted: Whether the set-up includes it.
    """

    part: Part
    wanted: bool = True


def pieces(aws: AccountAws, setup: Setup) -> list[Piece]:
    """All possible parts of a set-up, each after the parts that it needs."""
    wanted = setup.wanted
    net = {"DCP_BUCKET": wanted.bucket}
    task_role = _role(
        aws, setup, setup.task_role, role_policies.TRUST_CONTAINERS, role_policies.WORKER
    )
    return [
        # First, so that it is removed last: its tags store the set-up.
        Piece(replace(task_role, note=wanted.note())),
        *(Piece(ServiceLinkedRole(aws.iam, service, why)) for service, why in SERVICES.items()),
        Piece(
            _role(
                aws,
                setup,
                INSTANCE_ROLE,
                role_policies.TRUST_MACHINES,
                managed=(FOR_MACHINES,),
                shared=True,
            )
        ),
        Piece(InstanceProfile(aws.iam, setup.owner, INSTANCE_ROLE)),
        Piece(
            _role(
                aws,
                setup,
                FLEET_ROLE,
                role_policies.TRUST_SPOT_FLEET,
                managed=(FOR_FLEETS,),
                shared=True,
            )
        ),
        Piece(
            _role(
                aws,
                setup,
                setup.execution_role,
                role_policies.TRUST_CONTAINERS,
                role_policies.EXECUTION if wanted.api_key_secret else (),
                managed=(FOR_EXECUTION,),
            ),
            wanted.execution_role or wanted.flow_role,
        ),
        Piece(ExportPolicy(aws.s3, wanted.bucket, setup.places)),
        Piece(
            ManagedPolicy(
                aws.iam,
                setup.owner,
                setup.flows_policy,
                document(role_policies.flows(), setup.places),
            )
        ),
        Piece(
            _role(
                aws,
                setup,
                setup.flow_role,
                role_policies.TRUST_CONTAINERS,
                managed=(setup.flows_policy,),
            ),
            wanted.flow_role,
        ),
        Piece(
            _role(aws, setup, setup.net, role_policies.TRUST_LAMBDA, role_policies.SAFETY_NET),
            wanted.safety_net,
        ),
        Piece(LogGroup(aws.logs, setup.owner, f"/aws/lambda/{setup.net}"), wanted.safety_net),
        Piece(
            Function(aws.lambda_, setup.owner, setup.net, setup.role_arn(setup.net), net),
            wanted.safety_net,
        ),
        Piece(
            _role(
                aws,
                setup,
                setup.schedule_role,
                role_policies.TRUST_SCHEDULER,
                role_policies.SCHEDULE,
            ),
            wanted.safety_net,
        ),
        Piece(
            Schedule(
                aws.scheduler,
                setup.owner,
                setup.net,
                setup.schedule_group_arn,
                setup.function_arn,
                setup.role_arn(setup.schedule_role),
            ),
            wanted.safety_net,
        ),
    ]


def _role(
    aws: AccountAws,
    setup: Setup,
    name: str,
    trust: tuple[Statement, ...],
    policy: tuple[Statement, ...] = (),
    managed: tuple[str, ...] = (),
    shared: bool = False,
) -> Role:
    return Role(
        aws.iam,
        setup.owner,
        name,
        document(trust, setup.places),
        document(policy, setup.places) if policy else None,
        tuple(arn.format(partition=setup.partition) for arn in managed),
        shared,
    )


@dataclass(frozen=True)
class Line:
    """The result for one part.

    Attributes:
        what: The part.
        state: Its state or the result, in words.
        wrong: Whether it needs attention.
    """

    what: str
    state: str
    wrong: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.state}"


def create(aws: AccountAws, setup: Setup) -> list[Line]:
    """Create missing parts, repair changed ones, remove those that are no longer requested.

    A failed part does not stop the others. Safe to repeat.
    """
    return [_each(piece.part, _made if piece.wanted else _unwanted) for piece in pieces(aws, setup)]


def check(aws: AccountAws, setup: Setup) -> list[Line]:
    """The state of all parts; changes nothing."""
    return [
        _each(piece.part, _checked if piece.wanted else _leftover) for piece in pieces(aws, setup)
    ]


def destroy(aws: AccountAws, setup: Setup, force: bool = False) -> list[Line]:
    """Remove only what `create` created. Safe to repeat.

    Shared parts that another set-up of the account uses are handed over to it.

    Args:
        aws: The clients.
        setup: The set-up.
        force: Remove the parts even while dcp has machines or fleets.

    Raises:
        DcpError: dcp still has machines or fleets in the region.
    """
    running = active(aws.ec2)
    if running and not force:
        raise DcpError(
            f"dcp still has machines or fleets in {setup.region} ({len(running)}): "
            + ", ".join(running[:10])
            + ". Their runs would lose their permissions: clean them up first (dcp cleanup APP), "
            "or use --force."
        )
    heirs = other_owners(aws, setup)

    def remove(part: Part) -> Line:
        return _removed(part, heirs[0] if heirs else None)

    return [_each(piece.part, remove) for piece in reversed(pieces(aws, setup))]


def active(ec2: Any) -> list[str]:
    """The machines and fleets of all apps in the region."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": "tag-key", "Values": [Names.app_tag]},
            {"Name": "instance-state-name", "Values": LIVE_STATES},
        ]
    )
    ids = [
        instance["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]
    for page in ec2.get_paginator("describe_fleets").paginate():
        ids += [
            fleet["FleetId"]
            for fleet in page["Fleets"]
            if _is_apps(fleet) and fleet["FleetState"] not in ENDED_FLEETS
        ]
    for page in ec2.get_paginator("describe_spot_fleet_requests").paginate():
        ids += [
            fleet["SpotFleetRequestId"]
            for fleet in page["SpotFleetRequestConfigs"]
            if _is_apps(fleet) and fleet["SpotFleetRequestState"] not in ENDED_SPOT_FLEETS
        ]
    return ids


def _is_apps(fleet: Any) -> bool:
    return any(tag["Key"] == Names.app_tag for tag in fleet.get("Tags", []))


def _each(part: Part, step: Callable[[Part], Line]) -> Line:
    try:
        return step(part)
    except (DcpError, *AwsError) as error:
        return Line(part.what, f"failed: {error}", wrong=True)


def _made(part: Part) -> Line:
    look = part.look()
    if look.state == "not ours":
        return _checked(part, look)
    if look == AS_MADE:
        return Line(part.what, "unchanged")
    part.make(look)
    return Line(part.what, "created" if look == MISSING else f"repaired: {look.detail}")


def _unwanted(part: Part) -> Line:
    if part.look().state in ("missing", "not ours"):
        return Line(part.what, "not requested")
    part.remove()
    return Line(part.what, "removed: no longer requested")


def _checked(part: Part, look: Look | None = None) -> Line:
    look = look or part.look()
    if look.state == "not ours" and look.usable:
        return Line(part.what, "ok (not created by this set-up, used unchanged)")
    return Line(part.what, str(look), wrong=not look.usable)


def _leftover(part: Part) -> Line:
    exists = part.look().state in ("ok", "differs")
    return Line(part.what, "exists, but not requested" if exists else "not requested", wrong=exists)


def _removed(part: Part, heir: str | None) -> Line:
    look = part.look()
    if look.state == "missing":
        return Line(part.what, "not found")
    if look.state == "not ours":
        return Line(part.what, "kept: not created by this set-up")
    if heir and (isinstance(part, InstanceProfile) or (isinstance(part, Role) and part.shared)):
        part.hand_over(heir)
        return Line(part.what, f"kept: the set-up {heir} uses it")
    part.remove()
    return Line(part.what, "removed")


def settings(setup: Setup) -> dict[str, str]:
    """The values for the run config."""
    values = {
        "aws_bucket": setup.wanted.bucket,
        "aws_region": setup.region,
        "task_role": setup.role_arn(setup.task_role),
    }
    if setup.wanted.execution_role:
        values["execution_role"] = setup.role_arn(setup.execution_role)
    return values


def policy_of(setup: Setup, whose: str) -> Document:
    """A policy of a set-up: for `flows`, `worker`, `safety-net` or `admin`."""
    statements = {
        "flows": role_policies.flows(),
        "worker": role_policies.WORKER,
        "safety-net": role_policies.SAFETY_NET,
        "admin": ADMINISTRATOR,
    }
    return document(statements[whose], setup.places)
