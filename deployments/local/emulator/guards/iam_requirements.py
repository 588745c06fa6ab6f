"""The permissions that a request requires: actions on resources, with IAM's condition keys.

Source: "Actions, resources, and condition keys" of each service in the Service Authorization
Reference. An operation without a resource there, or that is not listed here, requires `*`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import EmulatorState, Region
from deployments.local.emulator.protocol.request import ApiRequest

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
class RequiredPermission:
    """A required permission.

    Attributes:
        action: The IAM action.
        resource: The resource's ARN, or `*`.
        context: Condition keys.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, Any] = field(default_factory=dict)


def required_permissions(
    emulator: EmulatorState, api_request: ApiRequest
) -> Iterator[RequiredPermission]:
    """The permissions that a request requires."""
    params, region = api_request.parameters, emulator.region(api_request.region)
    place = f"{api_request.region}:{ACCOUNT_ID}"
    match api_request.service:
        case "s3":
            yield from _s3(api_request, params)
        case "sqs":
            name = str(params.get("QueueUrl") or params.get("QueueName") or "").rpartition("/")[2]
            yield RequiredPermission(
                api_request.action, f"arn:aws:sqs:{place}:{name}" if name else "*"
            )
        case "ecs":
            yield from _ecs(api_request, region, params)
        case "ec2":
            yield from _ec2(api_request, region, params, place)
        case "logs":
            group, stream = params.get("logGroupName"), params.get("logStreamName", "")
            arn = f"arn:aws:logs:{place}:log-group:{group}:log-stream:{stream}"
            yield RequiredPermission(api_request.action, arn if group else "*")
        case "monitoring":
            yield from _cloudwatch(api_request, params, place)
        case "ssm":
            # Public parameters belong to no account.
            owner = "" if str(params.get("Name", "")).startswith("/aws/") else ACCOUNT_ID
            name = str(params.get("Name", "")).lstrip("/")
            arn = f"arn:aws:ssm:{api_request.region}:{owner}:parameter/{name}"
            yield RequiredPermission(api_request.action, arn if name else "*")
        case "lambda":
            function = str(params.get("FunctionName") or "").rpartition(":")[2]
            arn = f"arn:aws:lambda:{place}:function:{function}"
            yield RequiredPermission(api_request.action, arn if function else "*")
        case _:
            yield RequiredPermission(api_request.action)
    yield from _passed(api_request, params)


def _s3(api_request: ApiRequest, params: Mapping[str, Any]) -> Iterator[RequiredPermission]:
    bucket = params.get("Bucket")
    if not bucket:
        yield RequiredPermission(api_request.action)
        return
    keys = [
        deleted_object.get("Key", "")
        for deleted_object in params.get("Delete", {}).get("Objects", [])
    ]
    keys = keys or [params[name] for name in ("Key",) if name in params]
    for key in keys or [""]:
        yield RequiredPermission(
            api_request.action, f"arn:aws:s3:::{bucket}/{key}".removesuffix("/" if not key else "")
        )
    if "ACL" in params and api_request.operation in ("PutObject", "CreateMultipartUpload"):
        yield RequiredPermission("s3:PutObjectAcl", f"arn:aws:s3:::{bucket}/{params['Key']}")
    if "Tagging" in params and api_request.operation in ("PutObject", "CreateMultipartUpload"):
        yield RequiredPermission("s3:PutObjectTagging", f"arn:aws:s3:::{bucket}/{params['Key']}")
    if source := params.get("CopySource"):
        yield RequiredPermission("s3:GetObject", f"arn:aws:s3:::{str(source).lstrip('/')}")


def _ecs(
    api_request: ApiRequest, region: Region, params: Mapping[str, Any]
) -> Iterator[RequiredPermission]:
    cluster = str(params.get("cluster") or params.get("clusterName") or "default").rpartition("/")[
        2
    ]
    context: dict[str, Any] = {"ecs:cluster": region.arn("cluster", cluster)}
    if name := params.get("service") or params.get("serviceName"):
        name = str(name).rpartition("/")[2]
        existing = region.ecs.services.get(f"{cluster}:{name}")
        tags = _tags([] if existing is None else existing.tags)
        yield RequiredPermission(
            api_request.action, region.arn("service", cluster, name), context | tags
        )
    elif services := params.get("services"):
        for service in services:
            arn = region.arn("service", cluster, str(service).rpartition("/")[2])
            yield RequiredPermission(api_request.action, arn, context)
    elif tasks := params.get("tasks"):
        tasks_by_id = {task.id: task for task in region.tasks(cluster)}
        for task_ref in tasks:
            task = tasks_by_id.get(str(task_ref).rpartition("/")[2])
            tags = _tags([] if task is None else task.tags)
            arn = region.arn("task", cluster, str(task_ref).rpartition("/")[2])
            yield RequiredPermission(api_request.action, arn, context | tags)
    elif instances := params.get("containerInstances"):
        for instance in instances:
            arn = region.arn("container-instance", cluster, str(instance).rpartition("/")[2])
            yield RequiredPermission(api_request.action, arn, context)
    elif family := params.get("family"):
        yield RequiredPermission(api_request.action, region.arn("task-definition", f"{family}:*"))
    elif "Cluster" in api_request.operation or api_request.operation == "ListContainerInstances":
        for cluster_ref in params.get("clusters") or [cluster]:
            yield RequiredPermission(
                api_request.action,
                region.arn("cluster", str(cluster_ref).rpartition("/")[2]),
                context,
            )
    else:
        yield RequiredPermission(api_request.action, "*", context)


def _ec2(
    api_request: ApiRequest, region: Region, params: Mapping[str, Any], place: str
) -> Iterator[RequiredPermission]:
    if api_request.operation.startswith(("Describe", "Get")):
        yield RequiredPermission(api_request.action)
        return
    if api_request.operation in EC2_NEW:
        yield RequiredPermission(
            api_request.action, f"arn:aws:ec2:{place}:{EC2_NEW[api_request.operation]}"
        )
        if params.get("TagSpecifications"):
            new = f"arn:aws:ec2:{place}:{EC2_NEW[api_request.operation]}"
            yield RequiredPermission(
                "ec2:CreateTags", new, {"ec2:CreateAction": api_request.operation}
            )
        return
    resource_ids = [resource_id for name in EC2_IDS for resource_id in _listed(params.get(name))]
    keys = [tag["Key"] for tag in params.get("Tags", [])]
    for resource_id in resource_ids:
        kind = EC2_KINDS.get(str(resource_id).partition("-")[0], "*")
        tags = region.ec2.tags.get(resource_id, {})
        context: dict[str, Any] = _tags([{"key": k, "value": v} for k, v in tags.items()], "ec2")
        if keys:
            context["aws:TagKeys"] = keys
        yield RequiredPermission(
            api_request.action, f"arn:aws:ec2:{place}:{kind}/{resource_id}", context
        )
    if not resource_ids:
        yield RequiredPermission(api_request.action)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _tags(tags: Sequence[Mapping[str, str]], service: str = "ecs") -> dict[str, Any]:
    context: dict[str, Any] = {}
    for tag in tags:
        for prefix in ("aws", service):
            context[f"{prefix}:ResourceTag/{tag['key']}"] = tag.get("value", "")
    return context


def _cloudwatch(
    api_request: ApiRequest, params: Mapping[str, Any], place: str
) -> Iterator[RequiredPermission]:
    alarms = params.get("AlarmNames") if api_request.operation == "DeleteAlarms" else None
    dashboards = params.get("DashboardNames") or _listed(params.get("DashboardName"))
    for alarm in alarms or _listed(params.get("AlarmName")):
        yield RequiredPermission(api_request.action, f"arn:aws:cloudwatch:{place}:alarm:{alarm}")
    for dashboard in dashboards:
        yield RequiredPermission(
            api_request.action, f"arn:aws:cloudwatch::{ACCOUNT_ID}:dashboard/{dashboard}"
        )
    if not alarms and not dashboards and "AlarmName" not in params:
        context = {"cloudwatch:namespace": params["Namespace"]} if "Namespace" in params else {}
        yield RequiredPermission(api_request.action, "*", context)


def _passed(api_request: ApiRequest, params: Mapping[str, Any]) -> Iterator[RequiredPermission]:
    """Permissions for passed roles ("Grant a user permissions to pass a role")."""
    service = PASSED_TO.get(api_request.operation)
    if service is None:
        return
    of = params.get("SpotFleetRequestConfig") or params.get("Target") or params
    for name in ROLE_MEMBERS:
        if role := of.get(name):
            arn = role if str(role).startswith("arn:") else f"arn:aws:iam::{ACCOUNT_ID}:role/{role}"
            yield RequiredPermission("iam:PassRole", arn, {"iam:PassedToService": service})
