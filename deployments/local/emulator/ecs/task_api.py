"""The cluster, container instance and task actions of the ECS API."""

from datetime import timedelta
from typing import Any

from deployments.local.emulator.core.state import (
    ContainerInstance,
    EmulatorState,
    Region,
    Task,
    now,
)
from deployments.local.emulator.ecs.agent import abandon, request_stop, task_description
from deployments.local.emulator.ecs.placement import allows, place
from deployments.local.emulator.ecs.service_scheduler import hosts, new_task, placement_request
from deployments.local.emulator.protocol.exceptions import ApiError


def cluster_name(region: Region, params: dict[str, Any]) -> str:
    """Return the name of the request's cluster (default: `default`).

    Raises:
        ApiError: There is no such active cluster.
    """
    name: str = params.get("cluster", "default").rpartition("/")[2]
    cluster = region.ecs.clusters.get(name)
    if cluster is None or cluster.status != "ACTIVE":
        raise ApiError("ClusterNotFoundException", "Cluster not found.")
    return name


def failure(arn: str, reason: str = "MISSING") -> dict[str, str]:
    """Return a failure as the describing actions report it."""
    return {"arn": arn, "reason": reason}


def create_cluster(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """CreateCluster: returns an existing active cluster unchanged."""
    name = params.get("clusterName", "default")
    existing = region.ecs.clusters.get(name)
    if existing is None or existing.status != "ACTIVE":
        region.ecs.create_cluster(
            name, params.get("tags"), params.get("settings"), params.get("configuration")
        )
    return {"cluster": _cluster(region, name, {"TAGS", "SETTINGS"})}


def list_clusters(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """ListClusters."""
    clusters = region.ecs.clusters.values()
    return {"clusterArns": [cluster.arn for cluster in clusters if cluster.status == "ACTIVE"]}


def describe_clusters(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeClusters."""
    clusters, failures = [], []
    for name_or_arn in params.get("clusters") or ["default"]:
        name = name_or_arn.rpartition("/")[2]
        if name in region.ecs.clusters:
            clusters.append(_cluster(region, name, set(params.get("include", []))))
        else:
            failures.append(failure(region.arn("cluster", name)))
    return {"clusters": clusters, "failures": failures}


def _cluster(region: Region, name: str, include: set[str]) -> dict[str, Any]:
    cluster = region.ecs.clusters[name]
    tasks = [task.last_status for task in region.tasks(name)]
    description = {
        "clusterArn": cluster.arn,
        "clusterName": name,
        "status": cluster.status,
        "registeredContainerInstancesCount": len(_instances(region, name)),
        "runningTasksCount": tasks.count("RUNNING"),
        "pendingTasksCount": tasks.count("PENDING"),
        "activeServicesCount": len(_active_services(region, name)),
        "capacityProviders": cluster.capacity_providers or [],
    }
    if "TAGS" in include:
        description["tags"] = cluster.tags or []
    if "SETTINGS" in include:
        description["settings"] = cluster.settings
    return description


def _instances(region: Region, cluster: str) -> list[ContainerInstance]:
    return [
        container_instance
        for container_instance in region.container_instances.values()
        if container_instance.cluster == cluster
    ]


def _active_services(region: Region, cluster: str) -> list[Any]:
    return [service for service in region.services(cluster) if service.status == "ACTIVE"]


def delete_cluster(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DeleteCluster.

    Raises:
        ApiError: It has active services, container instances or tasks.
    """
    name = cluster_name(region, params)
    if any(service.status != "INACTIVE" for service in region.services(name)):
        text = "The Cluster cannot be deleted while Services are active."
        raise ApiError("ClusterContainsServicesException", text)
    if _instances(region, name):
        text = "The Cluster cannot be deleted while Container Instances are active or draining."
        raise ApiError("ClusterContainsContainerInstancesException", text)
    if any(task.last_status != "STOPPED" for task in region.tasks(name)):
        text = "The Cluster cannot be deleted while Tasks are active."
        raise ApiError("ClusterContainsTasksException", text)
    region.ecs.clusters[name].status = "INACTIVE"
    return {"cluster": _cluster(region, name, set())}


def list_container_instances(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """ListContainerInstances.

    Raises:
        ApiError: The filter is not a supported cluster query.
    """
    instances = _instances(region, cluster_name(region, params))
    status, query = params.get("status"), params.get("filter")
    try:
        if query:
            allows(query, {})  # refuse an invalid query even without instances
            instances = [instance for instance in instances if allows(query, instance.attributes)]
    except ValueError as error:
        raise ApiError("InvalidParameterException", str(error)) from error
    return {
        "containerInstanceArns": [
            instance.arn for instance in instances if status in (None, instance.status)
        ]
    }


def _instance(region: Region, cluster: str, id_or_arn: str) -> ContainerInstance | None:
    instance = region.container_instances.get(
        region.arn("container-instance", cluster, id_or_arn.rpartition("/")[2])
    )
    return instance if instance is not None and instance.cluster == cluster else None


def describe_container_instances(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeContainerInstances."""
    cluster = cluster_name(region, params)
    descriptions, failures = [], []
    for id_or_arn in params["containerInstances"]:
        instance = _instance(region, cluster, id_or_arn)
        if instance is None:
            failures.append(failure(id_or_arn))
        else:
            descriptions.append(_container_instance(region, instance))
    return {"containerInstances": descriptions, "failures": failures}


def _container_instance(region: Region, container_instance: ContainerInstance) -> dict[str, Any]:
    tasks = region.tasks_on(container_instance.arn)
    cpu, memory = sum(task.cpu for task in tasks), sum(task.memory for task in tasks)
    states = [task.last_status for task in tasks]
    # moto's serializer turns a mapping of attributes into the API's name-value list.
    return {
        "containerInstanceArn": container_instance.arn,
        "ec2InstanceId": container_instance.instance_id,
        "status": container_instance.status,
        "agentConnected": container_instance.connected,
        "registeredResources": _resources(container_instance.cpu, container_instance.memory),
        "remainingResources": _resources(
            container_instance.cpu - cpu, container_instance.memory - memory
        ),
        "runningTasksCount": states.count("RUNNING"),
        "pendingTasksCount": states.count("PENDING"),
        "attributes": container_instance.attributes,
        "registeredAt": container_instance.registered_at,
        "versionInfo": {"agentVersion": "1.0.0"},
    }


def _resources(cpu: int, memory: int) -> list[dict[str, Any]]:
    return [
        {"name": name, "type": "INTEGER", "integerValue": value}
        for name, value in (("CPU", cpu), ("MEMORY", memory))
    ]


def deregister_container_instance(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DeregisterContainerInstance.

    On AWS, the containers of a running machine keep running unnoticed; here they stop, so that
    nothing is left.

    Raises:
        ApiError: There is no such container instance, or it has tasks and `force` is not set.
    """
    instance = _instance(region, cluster_name(region, params), params["containerInstance"])
    if instance is None:
        text = "The referenced container instance was not found."
        raise ApiError("InvalidParameterException", text)
    tasks = region.tasks_on(instance.arn)
    if tasks and not params.get("force"):
        text = "Found running tasks on the instance."
        raise ApiError("InvalidParameterException", text)
    description = _container_instance(region, instance) | {"status": "INACTIVE"}
    for task in tasks:
        abandon(emulator, task, "Container instance deregistration forced by user.")
    del region.container_instances[instance.arn]
    return {"containerInstance": description}


def update_container_instances_state(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """UpdateContainerInstancesState: ACTIVE or DRAINING."""
    cluster = cluster_name(region, params)
    descriptions, failures = [], []
    for id_or_arn in params["containerInstances"]:
        instance = _instance(region, cluster, id_or_arn)
        if instance is None:
            failures.append(failure(id_or_arn))
        else:
            instance.status = params["status"]
            descriptions.append(_container_instance(region, instance))
    return {"containerInstances": descriptions, "failures": failures}


def list_tasks(emulator: EmulatorState, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """ListTasks: by default tasks with the desired status RUNNING."""
    name = cluster_name(region, params)
    desired_status = params.get("desiredStatus", "RUNNING")
    tasks = [task for task in region.tasks(name) if task.desired_status == desired_status]
    if "serviceName" in params:
        group = f"service:{params['serviceName'].rpartition('/')[2]}"
        tasks = [task for task in tasks if task.group == group]
    if "family" in params:
        tasks = [task for task in tasks if task.definition.family == params["family"]]
    if "startedBy" in params:
        tasks = [task for task in tasks if task.started_by == params["startedBy"]]
    if "containerInstance" in params:
        host = params["containerInstance"].rpartition("/")[2]
        tasks = [task for task in tasks if task.container_instance_arn.endswith(f"/{host}")]
    return {"taskArns": [task.arn for task in tasks]}


def _tasks(region: Region, params: dict[str, Any]) -> tuple[list[Task], list[dict[str, str]]]:
    tasks = region.ecs.tasks.get(cluster_name(region, params), {})
    by_id = {task.id: task for task in tasks.values()}
    selected, failures = [], []
    for id_or_arn in params["tasks"]:
        task = by_id.get(id_or_arn.rpartition("/")[2])
        if task is None:
            failures.append(failure(id_or_arn))
        else:
            selected.append(task)
    return selected, failures


def describe_tasks(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeTasks."""
    tasks, failures = _tasks(region, params)
    return {"tasks": [task_description(region, task) for task in tasks], "failures": failures}


def stop_task(emulator: EmulatorState, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """StopTask.

    Raises:
        ApiError: There is no such task.
    """
    tasks, _ = _tasks(region, {**params, "tasks": [params["task"]]})
    if not tasks:
        text = "The referenced task was not found."
        raise ApiError("InvalidParameterException", text)
    request_stop(tasks[0], "UserInitiated", params.get("reason", "Task stopped by user"))
    return {"task": task_description(region, tasks[0])}


def run_task(emulator: EmulatorState, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """RunTask on the cluster's machines: a task that does not fit fails at once."""
    name = cluster_name(region, params)
    definition = region.ecs.describe_task_definition(params["taskDefinition"])
    group = params.get("group", f"family:{definition.family}")
    started, failures = [], []
    for _ in range(params.get("count", 1)):
        host, reason = place(placement_request(definition, params), hosts(region, name, group))
        if reason:
            failures.append(failure(region.arn("cluster", name), f"RESOURCE: {reason}"))
            continue
        task = new_task(region, name, definition, host, group, params.get("startedBy", ""))
        task.tags = params.get("tags", [])
        started.append(task_description(region, task))
    return {"tasks": started, "failures": failures}


def protect(task: Task, enabled: bool, minutes: int | None) -> None:
    """Set a task's scale-in protection (default: for two hours)."""
    until = now() + timedelta(minutes=minutes or 120)
    task.protected_until = until if enabled else None


def protection(task: Task) -> dict[str, Any]:
    """Return a task's scale-in protection as in the API."""
    description: dict[str, Any] = {"taskArn": task.arn, "protectionEnabled": task.protected}
    if task.protected:
        description["expirationDate"] = task.protected_until
    return description


def update_task_protection(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """UpdateTaskProtection: for running tasks of services.

    Raises:
        ApiError: The time is not from 1 to 2,880 minutes.
    """
    minutes = params.get("expiresInMinutes")
    if minutes is not None and not 1 <= minutes <= 2880:
        text = "expiresInMinutes must be between 1 and 2880"
        raise ApiError("InvalidParameterException", text)
    tasks, failures = _tasks(region, params)
    protected = []
    for task in tasks:
        if not task.group.startswith("service:") or task.desired_status != "RUNNING":
            failures.append(failure(task.arn, "TASK_NOT_VALID"))
            continue
        protect(task, params["protectionEnabled"], minutes)
        protected.append(protection(task))
    return {"protectedTasks": protected, "failures": failures}


def get_task_protection(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """GetTaskProtection."""
    if "tasks" not in params:
        params = {
            **params,
            "tasks": [task.arn for task in region.tasks(cluster_name(region, params))],
        }
    tasks, failures = _tasks(region, params)
    return {"protectedTasks": [protection(task) for task in tasks], "failures": failures}


ACTIONS = {
    "CreateCluster": create_cluster,
    "ListClusters": list_clusters,
    "DescribeClusters": describe_clusters,
    "DeleteCluster": delete_cluster,
    "ListContainerInstances": list_container_instances,
    "DescribeContainerInstances": describe_container_instances,
    "DeregisterContainerInstance": deregister_container_instance,
    "UpdateContainerInstancesState": update_container_instances_state,
    "ListTasks": list_tasks,
    "DescribeTasks": describe_tasks,
    "StopTask": stop_task,
    "RunTask": run_task,
    "UpdateTaskProtection": update_task_protection,
    "GetTaskProtection": get_task_protection,
}
