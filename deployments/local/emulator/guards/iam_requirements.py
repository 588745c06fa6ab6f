"""The permissions that a request requires: actions on resources, with IAM's condition keys.

Source: "Actions, resources, and condition keys" of each service in the Service Authorization
Reference. An operation without a resource there, or that is not listed here, requires `*`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import Cloud, Region
from deployments.local.emulator.protocol.request import Asked

# For EC2: parameters that name the resource, in order of precedence, and its type in the ARN.
EC2_KINDS = {
    "fleet": "fleet",
    "sfr": "spot-fleet-request",
    "i": "instance",
    "lt": "launch-template",
    "vol": "volume",
    "sg": "security-group",
    "subnet": "subnet",
}
EC2_IDS = (
    "FleetId",
    "FleetIds",
    "InstanceIds",
    "LaunchTemplateId",
    "Resources",
    "SpotFleetRequestId",
    "SpotFleetRequestIds",
)
# For operations that create: the resource that does not exist yet.
EC2_NEW = {
    "CreateFleet": "fleet/*",
    "CreateLaunchTemplate": "launch-template/*",
    "RequestSpotFleet": "spot-fleet-request/*",
}
# The service to which a role is passed, by operation.
PASSED_TO = {
    "CreateFunction": "lambda.amazonaws.com",
    "CreateSchedule": "scheduler.amazonaws.com",
    "RegisterTaskDefinition": "ecs-tasks.amazonaws.com",
    "RequestSpotFleet": "spotfleet.amazonaws.com",
    "RunInstances": "ec2.amazonaws.com",
}
ROLE_MEMBERS = ("taskRoleArn", "executionRoleArn", "Role", "IamFleetRole", "RoleArn")


@dataclass(frozen=True)
class Need:
    """A required permission.

    Attributes:
        action: The IAM action.
        resource: The resource's ARN, or `*`.
        context: Condition keys.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, Any] = field(default_factory=dict)


def needs(cloud: Cloud, asked: Asked) -> Iterator[Need]:
    """The permissions that a request requires."""
    params, region = asked.parameters, cloud.region(asked.region)
    place = f"{asked.region}:{ACCOUNT_ID}"
    match asked.service:
        case "s3":
            yield from _s3(asked, params)
        case "sqs":
            name = str(params.get("QueueUrl") or params.get("QueueName") or "").rpartition("/")[2]
            yield Need(asked.action, f"arn:aws:sqs:{place}:{name}" if name else "*")
        case "ecs":
            yield from _ecs(asked, region, params)
        case "ec2":
            yield from _ec2(asked, region, params, place)
        case "logs":
            group, stream = params.get("logGroupName"), params.get("logStreamName", "")
            arn = f"arn:aws:logs:{place}:log-group:{group}:log-stream:{stream}"
            yield Need(asked.action, arn if group else "*")
        case "monitoring":
            yield from _cloudwatch(asked, params, place)
        case "ssm":
            # Public parameters belong to no account.
            owner = "" if str(params.get("Name", "")).startswith("/aws/") else ACCOUNT_ID
            name = str(params.get("Name", "")).lstrip("/")
            arn = f"arn:aws:ssm:{asked.region}:{owner}:parameter/{name}"
            yield Need(asked.action, arn if name else "*")
        case "lambda":
            function = str(params.get("FunctionName") or "").rpartition(":")[2]
            arn = f"arn:aws:lambda:{place}:function:{function}"
            yield Need(asked.action, arn if function else "*")
        case _:
            yield Need(asked.action)
    yield from _passed(asked, params)


def _s3(asked: Asked, params: Mapping[str, Any]) -> Iterator[Need]:
    bucket = params.get("Bucket")
    if not bucket:
        yield Need(asked.action)
        return
    keys = [one.get("Key", "") for one in params.get("Delete", {}).get("Objects", [])]
    keys = keys or [params[name] for name in ("Key",) if name in params]
    for key in keys or [""]:
        yield Need(
            asked.action, f"arn:aws:s3:::{bucket}/{key}".removesuffix("/" if not key else "")
        )
    if "ACL" in params and asked.operation in ("PutObject", "CreateMultipartUpload"):
        yield Need("s3:PutObjectAcl", f"arn:aws:s3:::{bucket}/{params['Key']}")
    if "Tagging" in params and asked.operation in ("PutObject", "CreateMultipartUpload"):
        yield Need("s3:PutObjectTagging", f"arn:aws:s3:::{bucket}/{params['Key']}")
    if source := params.get("CopySource"):
        yield Need("s3:GetObject", f"arn:aws:s3:::{str(source).lstrip('/')}")


def _ecs(asked: Asked, region: Region, params: Mapping[str, Any]) -> Iterator[Need]:
    cluster = str(params.get("cluster") or params.get("clusterName") or "default").rpartition("/")[
        2
    ]
    context: dict[str, Any] = {"ecs:cluster": region.arn("cluster", cluster)}
    if name := params.get("service") or params.get("serviceName"):
        name = str(name).rpartition("/")[2]
        found = region.ecs.services.get(f"{cluster}:{name}")
        tags = _tags([] if found is None else found.tags)
        yield Need(asked.action, region.arn("service", cluster, name), context | tags)
    elif services := params.get("services"):
        for one in services:
            arn = region.arn("service", cluster, str(one).rpartition("/")[2])
            yield Need(asked.action, arn, context)
    elif tasks := params.get("tasks"):
        known = {one.id: one for one in region.tasks(cluster)}
        for one in tasks:
            task = known.get(str(one).rpartition("/")[2])
            tags = _tags([] if task is None else task.tags)
            arn = region.arn("task", cluster, str(one).rpartition("/")[2])
            yield Need(asked.action, arn, context | tags)
    elif instances := params.get("containerInstances"):
        for one in instances:
            arn = region.arn("container-instance", cluster, str(one).rpartition("/")[2])
            yield Need(asked.action, arn, context)
    elif family := params.get("family"):
        yield Need(asked.action, region.arn("task-definition", f"{family}:*"))
    elif "Cluster" in asked.operation or asked.operation == "ListContainerInstances":
        for one in params.get("clusters") or [cluster]:
            yield Need(asked.action, region.arn("cluster", str(one).rpartition("/")[2]), context)
    else:
        yield Need(asked.action, "*", context)


def _ec2(asked: Asked, region: Region, params: Mapping[str, Any], place: str) -> Iterator[Need]:
    if asked.operation.startswith(("Describe", "Get")):
        yield Need(asked.action)
        return
    if asked.operation in EC2_NEW:
        yield Need(asked.action, f"arn:aws:ec2:{place}:{EC2_NEW[asked.operation]}")
        if params.get("TagSpecifications"):
            new = f"arn:aws:ec2:{place}:{EC2_NEW[asked.operation]}"
            yield Need("ec2:CreateTags", new, {"ec2:CreateAction": asked.operation})
        return
    named = [one for name in EC2_IDS for one in _listed(params.get(name))]
    keys = [tag["Key"] for tag in params.get("Tags", [])]
    for one in named:
        kind = EC2_KINDS.get(str(one).partition("-")[0], "*")
        given = region.ec2.tags.get(one, {})
        context: dict[str, Any] = _tags([{"key": k, "value": v} for k, v in given.items()], "ec2")
        if keys:
            context["aws:TagKeys"] = keys
        yield Need(asked.action, f"arn:aws:ec2:{place}:{kind}/{one}", context)
    if not named:
        yield Need(asked.action)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _tags(tags: Sequence[Mapping[str, str]], service: str = "ecs") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tag in tags:
        for prefix in ("aws", service):
            found[f"{prefix}:ResourceTag/{tag['key']}"] = tag.get("value", "")
    return found


def _cloudwatch(asked: Asked, params: Mapping[str, Any], place: str) -> Iterator[Need]:
    alarms = params.get("AlarmNames") if asked.operation == "DeleteAlarms" else None
    dashboards = params.get("DashboardNames") or _listed(params.get("DashboardName"))
    for one in alarms or _listed(params.get("AlarmName")):
        yield Need(asked.action, f"arn:aws:cloudwatch:{place}:alarm:{one}")
    for one in dashboards:
        yield Need(asked.action, f"arn:aws:cloudwatch::{ACCOUNT_ID}:dashboard/{one}")
    if not alarms and not dashboards and "AlarmName" not in params:
        context = {"cloudwatch:namespace": params["Namespace"]} if "Namespace" in params else {}
        yield Need(asked.action, "*", context)


def _passed(asked: Asked, params: Mapping[str, Any]) -> Iterator[Need]:
    """Permissions for passed roles ("Grant a user permissions to pass a role")."""
    service = PASSED_TO.get(asked.operation)
    if service is None:
        return
    of = params.get("SpotFleetRequestConfig") or params.get("Target") or params
    for name in ROLE_MEMBERS:
        if role := of.get(name):
            arn = role if str(role).startswith("arn:") else f"arn:aws:iam::{ACCOUNT_ID}:role/{role}"
            yield Need("iam:PassRole", arn, {"iam:PassedToService": service})
