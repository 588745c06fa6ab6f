"""The services that AWS offers to instances and containers at link-local addresses.

Sources: "Use the Instance Metadata Service to access instance metadata", "Spot Instance
interruption notices" and "EC2 instance rebalance recommendations" in the Amazon EC2 User Guide;
"Amazon ECS task metadata endpoint version 4", "Amazon ECS task IAM role" and "Amazon ECS task
scale-in protection endpoint" in the Amazon ECS Developer Guide.
"""

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

from werkzeug.wrappers import Request, Response

from deployments.local.cloud import Cloud, Machine, Region, Task, now
from deployments.local.ecs_actions import protect, protection
from deployments.local.ecs_agent import role_arn_of, role_credentials
from deployments.local.machines import user_data
from deployments.local.settings import ACCOUNT_ID

# IMDSv2 tokens, valid for every emulated instance of this process.
TOKENS: set[str] = set()


def stamp(time: datetime) -> str:
    """Return a time in the format of AWS's metadata services."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def answer_json(value: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(json.dumps(value), status, content_type="application/json")


def imds(cloud: Cloud, request: Request, instance_id: str, path: str) -> Response:
    """Answer like the instance metadata service, version 2 only."""
    found = cloud.find_machine(instance_id)
    if found is None or not found[1].alive:
        return Response("", 404)
    if path == "latest/api/token":
        if request.method != "PUT":
            return Response("", 405)
        token = uuid.uuid4().hex
        TOKENS.add(token)
        ttl = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        return Response(token, headers={"X-aws-ec2-metadata-token-ttl-seconds": ttl})
    if request.headers.get("X-aws-ec2-metadata-token") not in TOKENS:
        return Response("", 401)
    text = metadata(cloud, *found, path.removeprefix("latest/").rstrip("/"))
    return Response("", 404) if text is None else Response(text, content_type="text/plain")


def metadata(cloud: Cloud, region: Region, machine: Machine, path: str) -> str | None:
    """Return the metadata at a path below `latest/`, None if there is none."""
    instance = machine.instance
    zone = instance.availability_zone
    plain = {
        "meta-data/instance-id": instance.id,
        "meta-data/instance-type": instance.instance_type,
        "meta-data/ami-id": instance.image_id,
        "meta-data/instance-life-cycle": instance.lifecycle or "on-demand",
        "meta-data/local-ipv4": instance.private_ip_address,
        "meta-data/placement/region": region.name,
        "meta-data/placement/availability-zone": zone,
    }
    if path in plain:
        return str(plain[path])
    if path == "user-data" and instance.user_data:
        return user_data(machine)
    if path == "meta-data/spot/instance-action" and machine.interruption_at is not None:
        return json.dumps({"action": "terminate", "time": stamp(machine.interruption_at)})
    if path == "meta-data/spot/termination-time" and machine.interruption_at is not None:
        return stamp(machine.interruption_at)
    if path == "meta-data/events/recommendations/rebalance" and machine.recommended_at is not None:
        return json.dumps({"noticeTime": stamp(machine.recommended_at)})
    if path == "dynamic/instance-identity/document":
        document = {
            "accountId": ACCOUNT_ID,
            "architecture": instance.architecture,
            "availabilityZone": zone,
            "imageId": instance.image_id,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "pendingTime": stamp(instance.launch_time),
            "privateIp": instance.private_ip_address,
            "region": region.name,
            "version": "2017-09-30",
        }
        return json.dumps(document)
    return instance_role(cloud, machine, path)


def instance_role(cloud: Cloud, machine: Machine, path: str) -> str | None:
    """Return the name or the credentials of the instance's role."""
    role = role_arn_of(machine.instance.iam_instance_profile)
    base, name = "meta-data/iam/security-credentials", role.rpartition("/")[2]
    if not role or path not in (base, f"{base}/{name}"):
        return None
    if path == base:
        return name
    return json.dumps(
        {"Code": "Success", "Type": "AWS-HMAC", **credentials(cloud, machine.instance.id, role)}
    )


def credentials(cloud: Cloud, owner: str, role: str) -> dict[str, str]:
    """Return role credentials with a late expiration."""
    expiration = stamp(now() + timedelta(hours=6))
    return {**role_credentials(cloud, owner, role), "Expiration": expiration}


def task_services(cloud: Cloud, request: Request, task_id: str, path: str) -> Response:
    """Answer a task like its ECS agent."""
    found = cloud.find_task(task_id)
    if found is None or found[1].last_status == "STOPPED":
        return Response("", 404)
    region, task = found
    if path == "credentials":
        return answer_json(credentials(cloud, task.id, task.definition.task_role_arn))
    if path == f"v4/{task_id}":
        return answer_json(container_metadata(region, task))
    if path == f"v4/{task_id}/task":
        return answer_json(task_metadata(region, task))
    if path == "api/task-protection/v1/state":
        return task_protection(cloud, request, task)
    return Response("", 404)


def container_metadata(region: Region, task: Task) -> dict[str, Any]:
    """Return the metadata of the task's container."""
    definition = task.container_definition
    options = (definition.get("logConfiguration") or {}).get("options", {})
    shown: dict[str, Any] = {
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
        shown["LogDriver"] = "awslogs"
        shown["LogOptions"] = {
            "awslogs-group": options["awslogs-group"],
            "awslogs-region": options.get("awslogs-region", region.name),
            "awslogs-stream": f"{prefix}/{definition['name']}/{task.id}",
        }
    return shown


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


def task_protection(cloud: Cloud, request: Request, task: Task) -> Response:
    """Read or set the task's scale-in protection."""
    if request.method == "PUT":
        try:
            wanted = json.loads(request.get_data())
        except json.JSONDecodeError as error:
            return agent_error("InvalidParameterException", f"The body is not JSON: {error}")
        minutes = wanted.get("ExpiresInMinutes")
        if not isinstance(wanted.get("ProtectionEnabled"), bool):
            return agent_error(
                "InvalidParameterException", "ProtectionEnabled must be true or false"
            )
        if minutes is not None and not 1 <= minutes <= 2880:
            return agent_error("InvalidParameterException", "ExpiresInMinutes must be 1 to 2880")
        if not task.group.startswith("service:") or task.desired_status != "RUNNING":
            return answer_json({"failure": {"Arn": task.arn, "Reason": "TASK_NOT_VALID"}})
        protect(task, wanted["ProtectionEnabled"], minutes)
        cloud.wake.set()
    shown = protection(task)
    state = {"TaskArn": task.arn, "ProtectionEnabled": shown["protectionEnabled"]}
    if "expirationDate" in shown:
        state["ExpirationDate"] = stamp(shown["expirationDate"])
    return answer_json({"protection": state})


def agent_error(code: str, message: str) -> Response:
    """Return an error in the format of the agent's API."""
    return answer_json({"error": {"Code": code, "Message": message}}, 400)
