"""The service actions of the ECS API."""

from typing import Any

from deployments.local.emulator.core.state import EmulatorState, Region, Service
from deployments.local.emulator.ecs.placement import allows
from deployments.local.emulator.ecs.service_scheduler import placement_request
from deployments.local.emulator.ecs.task_api import cluster_name, failure
from deployments.local.emulator.protocol.exceptions import ApiError

FIXED = ("launchType", "placementConstraints", "placementStrategy", "deploymentConfiguration")


def create_service(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """CreateService, launch type EC2, scheduling strategy REPLICA.

    Raises:
        ApiError: The service already exists, the task definition does not exist, or a placement
            constraint is not supported.
    """
    cluster, name = cluster_name(region, params), params["serviceName"]
    key = f"{cluster}:{name}"
    if params.get("launchType", "EC2") != "EC2" or "desiredCount" not in params:
        text = "Only replica services of launch type EC2 with a desiredCount are emulated"
        raise ApiError("InvalidParameterException", text)
    existing = region.ecs.services.get(key)
    if existing is not None and existing.status != "INACTIVE":
        draining = "Unable to Start a service that is still Draining."
        text = (
            draining if existing.status == "DRAINING" else "Creation of service was not idempotent."
        )
        raise ApiError("InvalidParameterException", text)
    definition = _definition(region, params["taskDefinition"])
    _check_constraints(definition, params)
    service = Service(
        arn=region.arn("service", cluster, name),
        name=name,
        cluster_arn=region.arn("cluster", cluster),
        task_definition_arn=definition.arn,
        desired_count=params["desiredCount"],
        request=params,
        tags=params.get("tags", []),
    )
    region.ecs.services[key] = service
    return {"service": description(region, service)}


def _definition(region: Region, family_or_arn: str) -> Any:
    definition = region.ecs.describe_task_definition(family_or_arn)
    if definition.status != "ACTIVE":
        raise ApiError("ClientException", "TaskDefinition is inactive")
    return definition


def _check_constraints(definition: Any, params: dict[str, Any]) -> None:
    try:
        for expression in placement_request(definition, params).constraints:
            allows(expression, {})
    except ValueError as error:
        raise ApiError("InvalidParameterException", str(error)) from error


def _find(region: Region, params: dict[str, Any]) -> Service:
    name = params["service"].rpartition("/")[2]
    service = region.ecs.services.get(f"{cluster_name(region, params)}:{name}")
    if service is None:
        raise ApiError("ServiceNotFoundException", "Service not found.")
    if service.status != "ACTIVE":
        raise ApiError("ServiceNotActiveException", "Service was not ACTIVE.")
    typed_service: Service = service
    return typed_service


def update_service(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """UpdateService: desired count, task definition, placement, deployment configuration.

    Raises:
        ApiError: There is no such active service or task definition.
    """
    service = _find(region, params)
    request = {**service.request, **{key: params[key] for key in FIXED if key in params}}
    if "taskDefinition" in params:
        definition = _definition(region, params["taskDefinition"])
        _check_constraints(definition, request)
        service.task_definition_arn = definition.arn
    service.request = request
    service.desired_count = params.get("desiredCount", service.desired_count)
    service.failures, service.next_start, service.steady = 0, 0.0, False
    return {"service": description(region, service)}


def delete_service(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DeleteService: its tasks stop, protected or not, then it is INACTIVE.

    Raises:
        ApiError: Its desired count is above zero and `force` is not set.
    """
    service = _find(region, params)
    if service.desired_count and not params.get("force"):
        text = "The service cannot be stopped while it is scaled above 0."
        raise ApiError("InvalidParameterException", text)
    service.desired_count, service.status = 0, "DRAINING"
    return {"service": description(region, service)}


def list_services(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """ListServices."""
    services = region.services(cluster_name(region, params))
    return {"serviceArns": [service.arn for service in services if service.status != "INACTIVE"]}


def describe_services(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeServices; a deleted service is shown as INACTIVE."""
    cluster = cluster_name(region, params)
    services, failures = [], []
    for name_or_arn in params["services"]:
        service = region.ecs.services.get(f"{cluster}:{name_or_arn.rpartition('/')[2]}")
        if service is None:
            failures.append(failure(region.arn("service", cluster, name_or_arn.rpartition("/")[2])))
            continue
        service_description = description(region, service)
        if "TAGS" not in params.get("include", []):
            del service_description["tags"]
        services.append(service_description)
    return {"services": services, "failures": failures}


def description(region: Region, service: Service) -> dict[str, Any]:
    """Return a service as in the API, with exact counts."""
    cluster = service.cluster_arn.rpartition("/")[2]
    tasks = [task for task in region.tasks(cluster) if task.group == service.group]
    states = [task.last_status for task in tasks]
    counts = {
        "desiredCount": service.desired_count,
        "runningCount": states.count("RUNNING"),
        "pendingCount": states.count("PENDING"),
    }
    deployment = {
        "id": service.deployment_id,
        "status": "PRIMARY",
        "taskDefinition": service.task_definition_arn,
        **counts,
        "failedTasks": service.failures,
        "createdAt": service.created_at,
        "updatedAt": service.created_at,
        "launchType": "EC2",
        "rolloutState": "COMPLETED" if service.steady else "IN_PROGRESS",
    }
    return {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": service.cluster_arn,
        "status": service.status,
        **counts,
        "launchType": "EC2",
        "schedulingStrategy": "REPLICA",
        "taskDefinition": service.task_definition_arn,
        "deployments": [deployment],
        "events": list(service.events),
        "createdAt": service.created_at,
        "placementConstraints": service.request.get("placementConstraints", []),
        "placementStrategy": service.request.get("placementStrategy", []),
        "deploymentConfiguration": {
            "maximumPercent": 200,
            "minimumHealthyPercent": 100,
            **service.request.get("deploymentConfiguration", {}),
        },
        "tags": service.tags,
    }


ACTIONS = {
    "CreateService": create_service,
    "UpdateService": update_service,
    "DeleteService": delete_service,
    "ListServices": list_services,
    "DescribeServices": describe_services,
}
