"""The cluster, container instance and task actions of the ECS API."""

from datetime import timedelta
from typing import Any

from deployments.local.emulator.core.state import Cloud, ContainerInstance, Region, Task, now
from deployments.local.emulator.ecs.agent import abandon, request_stop, task_description
from deployments.local.emulator.ecs.placement import allows, place
from deployments.local.emulator.ecs.service_scheduler import hosts, new_task, wish
from deployments.local.emulator.protocol.exceptions import Refused


def cluster_name(region: Region, params: dict[str, Any]) -> str:
    """Return the name of the request's cluster (default: `default`).

    Raises:
        Refused: There is no such active cluster.
    """
    name: str = params.get("cluster", "default").rpartition("/")[2]
    cluster = region.ecs.clusters.get(name)
    if cluster is None or cluster.status != "ACTIVE":
        raise Refused("ClusterNotFoundException", "Cluster not found.")
    return name


def failure(arn: str, reason: str = "MISSING") -> dict[str, str]:
    """Return a failure as the describing actions report it."""
    return {"arn": arn, "reason": reason}


def create_cluster(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """CreateCluster: returns an existing active cluster unchanged."""
    name = params.get("clusterName", "default")
    known = region.ecs.clusters.get(name)
    if known is None or known.status != "ACTIVE":
        region.ecs.create_cluster(
            name, params.get("tags"), params.get("settings"), params.get("configuration")
        )
    return {"cluster": _cluster(region, name, {"TAGS", "SETTINGS"})}


def list_clusters(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """ListClusters."""
    clusters = region.ecs.clusters.values()
    return {"clusterArns": [one.arn for one in clusters if one.status == "ACTIVE"]}


def describe_clusters(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """DescribeClusters."""
    found, failures = [], []
    for named in params.get("clusters") or ["default"]:
        name = named.rpartition("/")[2]
        if name in region.ecs.clusters:
            found.append(_cluster(region, name, set(params.get("include", []))))
        else:
            failures.append(failure(region.arn("cluster", name)))
    return {"clusters": found, "failures": failures}


def _cluster(region: Region, name: str, include: set[str]) -> dict[str, Any]:
    cluster = region.ecs.clusters[name]
    tasks = [one.last_status for one in region.tasks(name)]
    shown = {
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
        shown["tags"] = cluster.tags or []
    if "SETTINGS" in include:
        shown["settings"] = cluster.settings
    return shown


def _instances(region: Region, cluster: str) -> list[ContainerInstance]:
    return [one for one in region.container_instances.values() if one.cluster == cluster]


def _active_services(region: Region, cluster: str) -> list[Any]:
    return [one for one in region.services(cluster) if one.status == "ACTIVE"]


def delete_cluster(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """DeleteCluster.

    Raises:
        Refused: It has active services, container instances or tasks.
    """
    name = cluster_name(region, params)
    if any(one.status != "INACTIVE" for one in region.services(name)):
        text = "The Cluster cannot be deleted while Services are active."
        raise Refused("ClusterContainsServicesException", text)
    if _instances(region, name):
        text = "The Cluster cannot be deleted while Container Instances are active or draining."
        raise Refused("ClusterContainsContainerInstancesException", text)
    if any(one.last_status != "STOPPED" for one in region.tasks(name)):
        text = "The Cluster cannot be deleted while Tasks are active."
        raise Refused("ClusterContainsTasksException", text)
    region.ecs.clusters[name].status = "INACTIVE"
    return {"cluster": _cluster(region, name, set())}


def list_container_instances(
    cloud: Cloud, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """ListContainerInstances.

    Raises:
        Refused: The filter is not a supported cluster query.
    """
    found = _instances(region, cluster_name(region, params))
    status, query = params.get("status"), params.get("filter")
    try:
        if query:
            allows(query, {})  # refuse an invalid query even without instances
            found = [one for one in found if allows(query, one.attributes)]
    except ValueError as error:
        raise Refused("InvalidParameterException", str(error)) from error
    return {"containerInstanceArns": [one.arn for one in found if status in (None, one.status)]}


def _instance(region: Region, cluster: str, named: str) -> ContainerInstance | None:
    found = region.container_instances.get(
        region.arn("container-instance", cluster, named.rpartition("/")[2])
    )
    return found if found is not None and found.cluster == cluster else None


def describe_container_instances(
    cloud: Cloud, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeContainerInstances."""
    cluster = cluster_name(region, params)
    found, failures = [], []
    for named in params["containerInstances"]:
        one = _instance(region, cluster, named)
        if one is None:
            failures.append(failure(named))
        else:
            found.append(_container_instance(region, one))
    return {"containerInstances": found, "failures": failures}


def _container_instance(region: Region, one: ContainerInstance) -> dict[str, Any]:
    tasks = region.tasks_on(one.arn)
    cpu, memory = sum(task.cpu for task in tasks), sum(task.memory for task in tasks)
    states = [task.last_status for task in tasks]
    # moto's serializer turns a mapping of attributes into the API's name-value list.
    return {
        "containerInstanceArn": one.arn,
        "ec2InstanceId": one.instance_id,
        "status": one.status,
        "agentConnected": one.connected,
        "registeredResources": _resources(one.cpu, one.memory),
        "remainingResources": _resources(one.cpu - cpu, one.memory - memory),
        "runningTasksCount": states.count("RUNNING"),
        "pendingTasksCount": states.count("PENDING"),
        "attributes": one.attributes,
        "registeredAt": one.registered_at,
        "versionInfo": {"agentVersion": "1.0.0"},
    }


def _resources(cpu: int, memory: int) -> list[dict[str, Any]]:
    return [
        {"name": name, "type": "INTEGER", "integerValue": value}
        for name, value in (("CPU", cpu), ("MEMORY", memory))
    ]


def deregister_container_instance(
    cloud: Cloud, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DeregisterContainerInstance.

    On AWS, the containers of a running machine keep running unnoticed; here they stop, so that
    nothing is left.

    Raises:
        Refused: There is no such container instance, or it has tasks and `force` is not set.
    """
    one = _instance(region, cluster_name(region, params), params["containerInstance"])
    if one is None:
        text = "The referenced container instance was not found."
        raise Refused("InvalidParameterException", text)
    tasks = region.tasks_on(one.arn)
    if tasks and not params.get("force"):
        text = "Found running tasks on the instance."
        raise Refused("InvalidParameterException", text)
    shown = _container_instance(region, one) | {"status": "INACTIVE"}
    for task in tasks:
        abandon(cloud, task, "Container instance deregistration forced by user.")
    del region.container_instances[one.arn]
    return {"containerInstance": shown}


def update_container_instances_state(
    cloud: Cloud, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """UpdateContainerInstancesState: ACTIVE or DRAINING."""
    cluster = cluster_name(region, params)
    found, failures = [], []
    for named in params["containerInstances"]:
        one = _instance(region, cluster, named)
        if one is None:
            failures.append(failure(named))
        else:
            one.status = params["status"]
            found.append(_container_instance(region, one))
    return {"containerInstances": found, "failures": failures}


def list_tasks(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """ListTasks: by default tasks with the desired status RUNNING."""
    name = cluster_name(region, params)
    wanted = params.get("desiredStatus", "RUNNING")
    tasks = [one for one in region.tasks(name) if one.desired_status == wanted]
    if "serviceName" in params:
        group = f"service:{params['serviceName'].rpartition('/')[2]}"
        tasks = [one for one in tasks if one.group == group]
    if "family" in params:
        tasks = [one for one in tasks if one.definition.family == params["family"]]
    if "startedBy" in params:
        tasks = [one for one in tasks if one.started_by == params["startedBy"]]
    if "containerInstance" in params:
        host = params["containerInstance"].rpartition("/")[2]
        tasks = [one for one in tasks if one.container_instance_arn.endswith(f"/{host}")]
    return {"taskArns": [one.arn for one in tasks]}


def _tasks(region: Region, params: dict[str, Any]) -> tuple[list[Task], list[dict[str, str]]]:
    known = region.ecs.tasks.get(cluster_name(region, params), {})
    by_id = {one.id: one for one in known.values()}
    found, failures = [], []
    for named in params["tasks"]:
        task = by_id.get(named.rpartition("/")[2])
        if task is None:
            failures.append(failure(named))
        else:
            found.append(task)
    return found, failures


def describe_tasks(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """DescribeTasks."""
    found, failures = _tasks(region, params)
    return {"tasks": [task_description(region, one) for one in found], "failures": failures}


def stop_task(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """StopTask.

    Raises:
        Refused: There is no such task.
    """
    found, _ = _tasks(region, {**params, "tasks": [params["task"]]})
    if not found:
        text = "The referenced task was not found."
        raise Refused("InvalidParameterException", text)
    request_stop(found[0], "UserInitiated", params.get("reason", "Task stopped by user"))
    return {"task": task_description(region, found[0])}


def run_task(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """RunTask on the cluster's machines: a task that does not fit fails at once."""
    name = cluster_name(region, params)
    definition = region.ecs.describe_task_definition(params["taskDefinition"])
    group = params.get("group", f"family:{definition.family}")
    started, failures = [], []
    for _ in range(params.get("count", 1)):
        host, reason = place(wish(definition, params), hosts(region, name, group))
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
    shown: dict[str, Any] = {"taskArn": task.arn, "protectionEnabled": task.protected}
    if task.protected:
        shown["expirationDate"] = task.protected_until
    return shown


def update_task_protection(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """UpdateTaskProtection: for running tasks of services.

    Raises:
        Refused: The time is not from 1 to 2,880 minutes.
    """
    minutes = params.get("expiresInMinutes")
    if minutes is not None and not 1 <= minutes <= 2880:
        text = "expiresInMinutes must be between 1 and 2880"
        raise Refused("InvalidParameterException", text)
    found, failures = _tasks(region, params)
    done = []
    for task in found:
        if not task.group.startswith("service:") or task.desired_status != "RUNNING":
            failures.append(failure(task.arn, "TASK_NOT_VALID"))
            continue
        protect(task, params["protectionEnabled"], minutes)
        done.append(protection(task))
    return {"protectedTasks": done, "failures": failures}


def get_task_protection(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """GetTaskProtection."""
    if "tasks" not in params:
        params = {
            **params,
            "tasks": [one.arn for one in region.tasks(cluster_name(region, params))],
        }
    found, failures = _tasks(region, params)
    return {"protectedTasks": [protection(one) for one in found], "failures": failures}


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
