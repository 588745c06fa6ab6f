"""The ECS agent's endpoints for its tasks: metadata, credentials, scale-in protection.

Sources: "Amazon ECS task metadata endpoint version 4", "Amazon ECS task IAM role" and
"Amazon ECS task scale-in protection endpoint" in the Amazon ECS Developer Guide.
"""

import json
from typing import Any

from werkzeug.wrappers import Request, Response

from deployments.local.emulator.core.state import EmulatorState, Region, Task
from deployments.local.emulator.ec2.instance_metadata import credentials, stamp
from deployments.local.emulator.ecs.task_api import protect, protection
from deployments.local.emulator.protocol.responses import answer_json


def task_services(emulator: EmulatorState, request: Request, task_id: str, path: str) -> Response:
    """Answer a task like its ECS agent."""
    located = emulator.find_task(task_id)
    if located is None or located[1].last_status == "STOPPED":
        return Response("", 404)
    region, task = located
    if path == "credentials":
        return answer_json(credentials(emulator, task.id, task.definition.task_role_arn))
    if path == f"v4/{task_id}":
        return answer_json(container_metadata(region, task))
    if path == f"v4/{task_id}/task":
        return answer_json(task_metadata(region, task))
    if path == "api/task-protection/v1/state":
        return task_protection(emulator, request, task)
    return Response("", 404)


def container_metadata(region: Region, task: Task) -> dict[str, Any]:
    """Return the metadata of the task's container."""
    definition = task.container_definition
    options = (definition.get("logConfiguration") or {}).get("options", {})
    metadata: dict[str, Any] = {
        "DockerId": task.id,
        "Name": definition["name"],
        "DockerName": f"ecs-{task.definition.family}-{definition['name']}-{task.id}",
        "Image": definition["image"],
        "Labels": {
            "com.amazonaws.ecs.cluster": task.cluster_arn,
            "com.amazonaws.ecs.container-name": definition["name"],
            "com.amazonaws.ecs.task-arn": task.arn,
            "com.amazonaws.ecs.task-definition-family": task.definition.family,
            "com.amazonaws.ecs.task-definition-version": str(task.definition.revision),
        },
        "DesiredStatus": task.desired_status,
        "KnownStatus": task.last_status,
        "Limits": {"CPU": task.cpu, "Memory": task.memory},
        "CreatedAt": stamp(task.created_at),
        "StartedAt": stamp(task.started_at or task.created_at),
        "Type": "NORMAL",
        "ContainerARN": region.arn("container", task.cluster_arn.rpartition("/")[2], task.id),
    }
    if options:
        prefix = options["awslogs-stream-prefix"]
        metadata["LogDriver"] = "awslogs"
        metadata["LogOptions"] = {
            "awslogs-group": options["awslogs-group"],
            "awslogs-region": options.get("awslogs-region", region.name),
            "awslogs-stream": f"{prefix}/{definition['name']}/{task.id}",
        }
    return metadata


def task_metadata(region: Region, task: Task) -> dict[str, Any]:
    """Return the metadata of the task."""
    host = region.container_instances[task.container_instance_arn]
    return {
        "Cluster": task.cluster_arn,
        "TaskARN": task.arn,
        "Family": task.definition.family,
        "Revision": str(task.definition.revision),
        "ServiceName": task.group.removeprefix("service:"),
        "DesiredStatus": task.desired_status,
        "KnownStatus": task.last_status,
        "Limits": {"CPU": task.cpu / 1024, "Memory": task.memory},
        "AvailabilityZone": host.attributes["ecs.availability-zone"],
        "LaunchType": "EC2",
        "Containers": [container_metadata(region, task)],
    }


def task_protection(emulator: EmulatorState, request: Request, task: Task) -> Response:
    """Read or set the task's scale-in protection."""
    if request.method == "PUT":
        try:
            requested = json.loads(request.get_data())
        except json.JSONDecodeError as error:
            return agent_error("InvalidParameterException", f"The body is not JSON: {error}")
        minutes = requested.get("ExpiresInMinutes")
        if not isinstance(requested.get("ProtectionEnabled"), bool):
            return agent_error(
                "InvalidParameterException", "ProtectionEnabled must be true or false"
            )
        if minutes is not None and not 1 <= minutes <= 2880:
            return agent_error("InvalidParameterException", "ExpiresInMinutes must be 1 to 2880")
        if not task.group.startswith("service:") or task.desired_status != "RUNNING":
            return answer_json({"failure": {"Arn": task.arn, "Reason": "TASK_NOT_VALID"}})
        protect(task, requested["ProtectionEnabled"], minutes)
        emulator.wake.set()
    description = protection(task)
    state = {"TaskArn": task.arn, "ProtectionEnabled": description["protectionEnabled"]}
    if "expirationDate" in description:
        state["ExpirationDate"] = stamp(description["expirationDate"])
    return answer_json({"protection": state})


def agent_error(code: str, message: str) -> Response:
    """Return an error in the format of the agent's API."""
    return answer_json({"error": {"Code": code, "Message": message}}, 400)
