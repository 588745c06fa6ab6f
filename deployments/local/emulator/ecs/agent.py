"""The ECS agent: starts, monitors and stops the containers of its tasks."""

import hashlib
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from moto.logs.exceptions import ResourceNotFoundException

from deployments.local.emulator.core.container_process import (
    ContainerError,
    ContainerProcess,
    image_environment,
)
from deployments.local.emulator.core.state import EmulatorState, Region, Task, now


def lose(task: Task, instance_id: str) -> None:
    """Stop a task because its machine is gone, without a signal or a grace period."""
    task.desired_status = "STOPPED"
    if not task.stop_code:
        task.stop_code = "TerminationNotice"
        task.stopped_reason = f"Host EC2 (instance {instance_id}) terminated."
    if task.container is not None:
        task.container.end()


def abandon(emulator: EmulatorState, task: Task, reason: str) -> None:
    """Stop a task whose container instance is deregistered."""
    if task.container is not None:
        task.container.end()
    task.desired_status, task.stop_code, task.stopped_reason = "STOPPED", "UserInitiated", reason
    _stopped(emulator, task, None)


def request_stop(task: Task, code: str, reason: str) -> None:
    """Request that a task stops; its agent signals the container once it is connected."""
    if task.desired_status == "STOPPED":
        return
    task.desired_status, task.stop_code, task.stopped_reason = "STOPPED", code, reason
    task.stopping_at = now()
    if task.host.connected:
        signal(task)


def signal(task: Task) -> None:
    """Send SIGTERM now, and SIGKILL after the container's stop timeout."""
    task.kill_at = time.monotonic() + task.container_definition.get("stopTimeout", 30)
    if task.container is not None:
        task.container.terminate()


def start_tasks(emulator: EmulatorState, region: Region) -> list[Task]:
    """Start the containers of placed tasks; return the tasks that failed to start."""
    failed = []
    for task in region.tasks():
        if task.last_status != "PENDING" or not task.host.connected:
            continue
        if task.desired_status == "STOPPED":
            _stopped(emulator, task, None)
            continue
        try:
            _start(emulator, region, task)
        except ContainerError as error:
            task.desired_status, task.stop_code = "STOPPED", "TaskFailedToStart"
            task.stopped_reason = task.container_reason = str(error)
            _stopped(emulator, task, None)
            failed.append(task)
    return failed


def _start(emulator: EmulatorState, region: Region, task: Task) -> None:
    settings = emulator.settings
    folder = settings.root / "containers" / task.id
    instance_id = task.host.instance_id
    definition = task.container_definition
    _pull(emulator, definition["image"])
    task.number = emulator.number("task")
    command = [str(settings.worker_python), *settings.container_command]
    if code := emulator.chaos.fault_name("exits", task.number):
        command = ["/bin/sh", "-c", f"exit {code}"]
    environment = {
        **image_environment(settings.worker_python, folder),
        **{variable["name"]: variable["value"] for variable in definition.get("environment", [])},
        **agent_environment(emulator, task, instance_id),
    }
    task.container = ContainerProcess(command, environment, folder, log_driver(region, task))
    task.last_status, task.started_at = "RUNNING", now()
    emulator.record_event(
        "task-started", task_arn=task.arn, instance_id=instance_id, pid=task.container.pid
    )


def _pull(emulator: EmulatorState, image: str) -> None:
    """Pull an image, which does nothing unless the image cannot be pulled.

    Source: "CannotPullContainer task errors in Amazon ECS" in the Amazon ECS Developer Guide.
    """
    if any(fnmatchcase(image, pattern) for pattern in emulator.chaos.unpullable):
        name = image.rpartition(":")[0] or image
        raise ContainerError(
            "CannotPullContainerError: Error response from daemon: pull access denied for "
            f"{name}, repository does not exist or may require 'docker login': "
            "denied: requested access to the resource is denied"
        )


def agent_environment(emulator: EmulatorState, task: Task, instance_id: str) -> dict[str, str]:
    """Return the environment variables that agent and machine add to a container.

    Sources: "Amazon ECS task metadata endpoint version 4", "Amazon ECS task IAM role" and "Amazon
    ECS task scale-in protection endpoint" in the Amazon ECS Developer Guide. On AWS the addresses
    are link-local; here they have the task or instance in the path, and the settings of the SDKs
    point to them.
    """
    base = f"{emulator.endpoint_url}/_dcp"
    environment = {
        "ECS_CONTAINER_METADATA_URI_V4": f"{base}/task/{task.id}/v4/{task.id}",
        "ECS_AGENT_URI": f"{base}/task/{task.id}/api",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{base}/imds/{instance_id}/",
        "AWS_ENDPOINT_URL": emulator.endpoint_url,
    }
    if getattr(task.definition, "task_role_arn", None):
        environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{base}/task/{task.id}/credentials"
    return environment


def log_driver(region: Region, task: Task) -> Callable[[bytes], None]:
    """Return the awslogs driver, which receives the container's lines.

    Source: "Send Amazon ECS logs to CloudWatch" in the Amazon ECS Developer Guide: stream
    `prefix/container/task id`; the group must exist unless `awslogs-create-group` is set.

    Raises:
        ContainerError: The log group does not exist.
    """
    configuration = task.container_definition.get("logConfiguration") or {}
    if configuration.get("logDriver") != "awslogs":
        return lambda line: None
    options = configuration["options"]
    group = options["awslogs-group"]
    stream = f"{options['awslogs-stream-prefix']}/{task.container_definition['name']}/{task.id}"
    if group not in region.logs.groups:
        if options.get("awslogs-create-group") != "true":
            text = "The specified log group does not exist."
            raise ContainerError(
                "CannotStartContainerError: Error response from daemon: failed to initialize "
                f"logging driver: failed to create Cloudwatch log stream: {text} ({group})"
            )
        region.logs.create_log_group(group, {})
    region.logs.create_log_stream(group, stream)

    def deliver(line: bytes) -> None:
        event = {"timestamp": int(time.time() * 1000), "message": line.decode(errors="replace")}
        try:
            region.logs.put_log_events(group, stream, [event])
        except ResourceNotFoundException:
            return  # The group was deleted while the container runs; AWS loses its output too.

    return deliver


def watch_tasks(emulator: EmulatorState, region: Region) -> list[Task]:
    """Check running containers; return the tasks that stopped by themselves."""
    failed = []
    for task in region.tasks():
        if task.container is None or task.last_status == "STOPPED" or not task.host.connected:
            continue
        code = task.container.exit_code()
        if code is None:
            if task.kill_at is not None and time.monotonic() >= task.kill_at:
                task.container.end()
            continue
        if task.desired_status == "RUNNING":
            task.desired_status = "STOPPED"
            task.stop_code = "EssentialContainerExited"
            task.stopped_reason = "Essential container in task exited"
            failed.append(task)
        _stopped(emulator, task, code)
    return failed


def _stopped(emulator: EmulatorState, task: Task, code: int | None) -> None:
    task.last_status, task.stopped_at, task.exit_code = "STOPPED", now(), code
    task.protected_until = None
    emulator.credentials.pop(task.id, None)
    emulator.record_event("task-stopped", task_arn=task.arn, code=task.stop_code, exit_code=code)


def _digest(image: str) -> str:
    """Return an invented digest for an image name, as there is no registry."""
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def task_description(region: Region, task: Task) -> dict[str, Any]:
    """Return a task as in DescribeTasks."""
    definition = task.container_definition
    container = {
        "containerArn": region.arn("container", task.cluster_arn.rpartition("/")[2], task.id),
        "taskArn": task.arn,
        "name": definition["name"],
        "image": definition["image"],
        "imageDigest": _digest(definition["image"]) if task.started_at else None,
        "lastStatus": task.last_status,
        "cpu": str(task.cpu),
        "memory": str(task.memory),
        "exitCode": task.exit_code,
        "reason": task.container_reason or None,
        "runtimeId": task.id,
    }
    description = {
        "taskArn": task.arn,
        "clusterArn": task.cluster_arn,
        "taskDefinitionArn": task.definition.arn,
        "containerInstanceArn": task.container_instance_arn,
        "containers": [_without_none(container)],
        "lastStatus": task.last_status,
        "desiredStatus": task.desired_status,
        "cpu": str(task.cpu),
        "memory": str(task.memory),
        "group": task.group,
        "startedBy": task.started_by,
        "launchType": "EC2",
        "createdAt": task.created_at,
        "startedAt": task.started_at,
        "stoppingAt": task.stopping_at,
        "stoppedAt": task.stopped_at,
        "stopCode": task.stop_code or None,
        "stoppedReason": task.stopped_reason or None,
        "connectivity": "CONNECTED" if task.host.connected else "DISCONNECTED",
        "tags": task.tags,
    }
    return _without_none(description)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
