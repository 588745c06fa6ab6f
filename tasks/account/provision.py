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
from tasks.account.lambda_resources import LambdaFunction, LogGroup, Schedule
from tasks.account.policy_statements import Document, Statement, document
from tasks.account.resource import MISSING, UP_TO_DATE, AccountResource, ResourceState
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
class PlannedResource:
    """A resource, and whether this set-up includes it.

    Attributes:
        resource: The resource.
        included: Whether the set-up includes it.
    """

    resource: AccountResource
    included: bool = True


def planned_resources(aws: AccountAws, setup: Setup) -> list[PlannedResource]:
    """All possible resources of a set-up, each after those that it needs."""
    options = setup.options
    net = {"DCP_BUCKET": options.bucket}
    task_role = _role(
        aws, setup, setup.task_role, role_policies.TRUST_CONTAINERS, role_policies.WORKER
    )
    return [
        # First, so that it is removed last: its tags store the set-up.
        PlannedResource(replace(task_role, option_tags=options.as_tags())),
        *(
            PlannedResource(ServiceLinkedRole(aws.iam, service, why))
            for service, why in SERVICES.items()
        ),
        PlannedResource(
            _role(
                aws,
                setup,
                INSTANCE_ROLE,
                role_policies.TRUST_MACHINES,
                managed=(FOR_MACHINES,),
                shared=True,
            )
        ),
        PlannedResource(InstanceProfile(aws.iam, setup.owner, INSTANCE_ROLE)),
        PlannedResource(
            _role(
                aws,
                setup,
                FLEET_ROLE,
                role_policies.TRUST_SPOT_FLEET,
                managed=(FOR_FLEETS,),
                shared=True,
            )
        ),
        PlannedResource(
            _role(
                aws,
                setup,
                setup.execution_role,
                role_policies.TRUST_CONTAINERS,
                role_policies.EXECUTION if options.api_key_secret else (),
                managed=(FOR_EXECUTION,),
            ),
            options.execution_role or options.flow_role,
        ),
        PlannedResource(ExportPolicy(aws.s3, options.bucket, setup.placeholders)),
        PlannedResource(
            ManagedPolicy(
                aws.iam,
                setup.owner,
                setup.flows_policy,
                document(role_policies.flows(), setup.placeholders),
            )
        ),
        PlannedResource(
            _role(
                aws,
                setup,
                setup.flow_role,
                role_policies.TRUST_CONTAINERS,
                managed=(setup.flows_policy,),
            ),
            options.flow_role,
        ),
        PlannedResource(
            _role(
                aws,
                setup,
                setup.safety_net_name,
                role_policies.TRUST_LAMBDA,
                role_policies.SAFETY_NET,
            ),
            options.safety_net,
        ),
        PlannedResource(
            LogGroup(aws.logs, setup.owner, f"/aws/lambda/{setup.safety_net_name}"),
            options.safety_net,
        ),
        PlannedResource(
            LambdaFunction(
                aws.lambda_,
                setup.owner,
                setup.safety_net_name,
                setup.role_arn(setup.safety_net_name),
                net,
            ),
            options.safety_net,
        ),
        PlannedResource(
            _role(
                aws,
                setup,
                setup.schedule_role,
                role_policies.TRUST_SCHEDULER,
                role_policies.SCHEDULE,
            ),
            options.safety_net,
        ),
        PlannedResource(
            Schedule(
                aws.scheduler,
                setup.owner,
                setup.safety_net_name,
                setup.schedule_group_arn,
                setup.function_arn,
                setup.role_arn(setup.schedule_role),
            ),
            options.safety_net,
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
        document(trust, setup.placeholders),
        document(policy, setup.placeholders) if policy else None,
        tuple(arn.format(partition=setup.partition) for arn in managed),
        shared,
    )


@dataclass(frozen=True)
class ResourceResult:
    """The result for one resource.

    Attributes:
        resource: Its description.
        state: Its state or the result, for people.
        needs_attention: Whether a person must act.
    """

    resource: str
    state: str
    needs_attention: bool = False

    def __str__(self) -> str:
        return f"{self.resource}: {self.state}"


def create(aws: AccountAws, setup: Setup) -> list[ResourceResult]:
    """Create missing resources, repair changed ones, remove those that are no longer requested.

    A failure does not stop the others. Safe to repeat.
    """
    return [
        _result_of(planned.resource, _ensure if planned.included else _remove_unrequested)
        for planned in planned_resources(aws, setup)
    ]


def check(aws: AccountAws, setup: Setup) -> list[ResourceResult]:
    """The state of all resources; changes nothing."""
    return [
        _result_of(planned.resource, _check if planned.included else _check_unrequested)
        for planned in planned_resources(aws, setup)
    ]


def destroy(aws: AccountAws, setup: Setup, force: bool = False) -> list[ResourceResult]:
    """Remove only what `create` created. Safe to repeat.

    Hands shared resources over to another set-up of the account that uses them.

    Args:
        aws: The clients.
        setup: The set-up.
        force: Remove them even while dcp has machines or fleets.

    Raises:
        DcpError: dcp still has machines or fleets in the region.
    """
    running = machines_and_fleets(aws.ec2)
    if running and not force:
        raise DcpError(
            f"dcp still has machines or fleets in {setup.region} ({len(running)}): "
            + ", ".join(running[:10])
            + ". Their runs would lose their permissions: clean them up first (dcp cleanup APP), "
            "or use --force."
        )
    heirs = other_owners(aws, setup)

    def remove(resource: AccountResource) -> ResourceResult:
        return _remove(resource, heirs[0] if heirs else None)

    return [
        _result_of(planned.resource, remove) for planned in reversed(planned_resources(aws, setup))
    ]


def machines_and_fleets(ec2: Any) -> list[str]:
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
            if _has_app_tag(fleet) and fleet["FleetState"] not in ENDED_FLEETS
        ]
    for page in ec2.get_paginator("describe_spot_fleet_requests").paginate():
        ids += [
            fleet["SpotFleetRequestId"]
            for fleet in page["SpotFleetRequestConfigs"]
            if _has_app_tag(fleet) and fleet["SpotFleetRequestState"] not in ENDED_SPOT_FLEETS
        ]
    return ids


def _has_app_tag(fleet: Any) -> bool:
    return any(tag["Key"] == Names.app_tag for tag in fleet.get("Tags", []))


def _result_of(
    resource: AccountResource, step: Callable[[AccountResource], ResourceResult]
) -> ResourceResult:
    try:
        return step(resource)
    except (DcpError, *AwsError) as error:
        return ResourceResult(resource.description, f"failed: {error}", needs_attention=True)


def _ensure(resource: AccountResource) -> ResourceResult:
    state = resource.check()
    if state.status == "not ours":
        return _check(resource, state)
    if state == UP_TO_DATE:
        return ResourceResult(resource.description, "unchanged")
    resource.ensure(state)
    return ResourceResult(
        resource.description, "created" if state == MISSING else f"repaired: {state.detail}"
    )


def _remove_unrequested(resource: AccountResource) -> ResourceResult:
    if resource.check().status in ("missing", "not ours"):
        return ResourceResult(resource.description, "not requested")
    resource.remove()
    return ResourceResult(resource.description, "removed: no longer requested")


def _check(resource: AccountResource, state: ResourceState | None = None) -> ResourceResult:
    state = state or resource.check()
    if state.status == "not ours" and state.usable:
        return ResourceResult(
            resource.description, "ok (not created by this set-up, used unchanged)"
        )
    return ResourceResult(resource.description, str(state), needs_attention=not state.usable)


def _check_unrequested(resource: AccountResource) -> ResourceResult:
    exists = resource.check().status in ("ok", "differs")
    return ResourceResult(
        resource.description,
        "exists, but not requested" if exists else "not requested",
        needs_attention=exists,
    )


def _remove(resource: AccountResource, heir: str | None) -> ResourceResult:
    state = resource.check()
    if state.status == "missing":
        return ResourceResult(resource.description, "not found")
    if state.status == "not ours":
        return ResourceResult(resource.description, "kept: not created by this set-up")
    if heir and (
        isinstance(resource, InstanceProfile) or (isinstance(resource, Role) and resource.shared)
    ):
        resource.hand_over(heir)
        return ResourceResult(resource.description, f"kept: the set-up {heir} uses it")
    resource.remove()
    return ResourceResult(resource.description, "removed")


def config_values(setup: Setup) -> dict[str, str]:
    """The values for the run config."""
    values = {
        "aws_bucket": setup.options.bucket,
        "aws_region": setup.region,
        "task_role": setup.role_arn(setup.task_role),
    }
    if setup.options.execution_role:
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
    return document(statements[whose], setup.placeholders)
