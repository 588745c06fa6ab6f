"""What the ECS agent does on every machine: register it, run its containers, stop them."""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable
from email import message_from_string
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.logs.exceptions import ResourceNotFoundException

from deployments.local.cloud import Cloud, ContainerInstance, Machine, Region, Task, now
from deployments.local.containers import Container, ContainerError, image_environment
from deployments.local.machines import user_data
from deployments.local.settings import ACCOUNT_ID
from tasks.machine_types import MachineType

CONFIG_LINE = re.compile(r"\b(ECS_[A-Z0-9_]+)=(.*)")


def ecs_config(data: str) -> dict[str, str]:
    """Return the settings that user data writes to `/etc/ecs/ecs.config`.

    A script and a MIME multi-part archive of scripts are read, lines of a here-document and lines
    of the form `echo NAME=VALUE >> /etc/ecs/ecs.config`.
    """
    message = message_from_string(data)
    if message.is_multipart():
        parts = [part.get_payload(decode=True) for part in message.walk()]
        data = "\n".join(part.decode() for part in parts if isinstance(part, bytes))
    if "/etc/ecs/ecs.config" not in data:
        return {}
    lines = [CONFIG_LINE.search(line) for line in data.splitlines()]
    return {match[1]: _value(match[2]) for match in lines if match}


def _value(text: str) -> str:
    value = text.partition(">>")[0].strip()
    if value[-1:] in ("'", '"') and value.count(value[-1]) % 2:
        value = value[:-1]
    return value


def resources(instance_type: str) -> tuple[int, int]:
    """Return CPU units and MiB of memory that an instance of a type registers.

    The least that a real one may register: what fits here fits there (`tasks.machine_types`).
    """
    known = INSTANCE_TYPES[instance_type]
    memory: int = known["MemoryInfo"]["SizeInMiB"]
    machine = MachineType(instance_type, known["VCpuInfo"]["DefaultVCpus"], memory)
    return machine.cpu_units, machine.registered_memory[0]


def boot(cloud: Cloud, region: Region) -> None:
    """Finish the boot of machines: run the user data, register with the cluster it names.

    An agent whose cluster does not exist tries again, as the real one does.
    """
    for machine in region.machines.values():
        if machine.booted or not machine.alive or time.monotonic() < machine.boots_at:
            continue
        machine.instance._state.name, machine.instance._state.code = "running", 16
        config = ecs_config(user_data(machine))
        cluster = region.ecs.clusters.get(config.get("ECS_CLUSTER", ""))
        if "ECS_CLUSTER" in config and (cluster is None or cluster.status != "ACTIVE"):
            continue
        machine.booted = True
        if cluster is not None:
            _register(cloud, region, machine, cluster.name, config)


def _register(
    cloud: Cloud, region: Region, machine: Machine, cluster: str, config: dict[str, str]
) -> None:
    instance = machine.instance
    machine.drains_on_notice = config.get("ECS_ENABLE_SPOT_INSTANCE_DRAINING") == "true"
    cpu, memory = resources(instance.instance_type)
    one = ContainerInstance(
        arn=region.arn("container-instance", cluster, uuid.uuid4().hex),
        cluster=cluster,
        instance_id=instance.id,
        cpu=cpu,
        memory=memory,
        attributes={
            "ecs.ami-id": instance.image_id,
            "ecs.availability-zone": instance.availability_zone,
            "ecs.instance-type": instance.instance_type,
            "ecs.os-type": "linux",
            **json.loads(config.get("ECS_INSTANCE_ATTRIBUTES", "{}")),
        },
    )
    region.container_instances[one.arn] = one
    cloud.tell("registered", instance_id=instance.id, cluster=cluster)


def watch_machines(cloud: Cloud, region: Region) -> None:
    """Drain machines that have a notice; end the containers of machines that are gone."""
    for one in list(region.container_instances.values()):
        machine = region.machines[one.instance_id]
        if machine.ends_at is not None and machine.drains_on_notice and one.status == "ACTIVE":
            one.status = "DRAINING"
            cloud.tell("draining", instance_id=one.instance_id)
        if not machine.alive:
            for task in region.tasks_on(one.arn):
                lose(task, one.instance_id)
            del region.container_instances[one.arn]
            cloud.tell("deregistered", instance_id=one.instance_id)


def lose(task: Task, instance_id: str) -> None:
    """End a task with its machine: no signal, no time."""
    task.desired_status = "STOPPED"
    if not task.stop_code:
        task.stop_code = "TerminationNotice"
        task.stopped_reason = f"Host EC2 (instance {instance_id}) terminated."
    if task.container is not None:
        task.container.end()


def request_stop(task: Task, code: str, reason: str) -> None:
    """Ask for the end of a task: SIGTERM now, SIGKILL after the container's stop timeout."""
    if task.desired_status == "STOPPED":
        return
    task.desired_status, task.stop_code, task.stopped_reason = "STOPPED", code, reason
    task.stopping_at = now()
    task.kill_at = time.monotonic() + task.container_definition.get("stopTimeout", 30)
    if task.container is not None:
        task.container.terminate()


def start_tasks(cloud: Cloud, region: Region) -> list[Task]:
    """Start the containers of placed tasks; return the tasks that could not start."""
    failed = []
    for task in region.tasks():
        if task.last_status != "PENDING":
            continue
        if task.desired_status == "STOPPED":
            _stopped(cloud, task, None)
            continue
        try:
            _start(cloud, region, task)
        except ContainerError as error:
            task.desired_status, task.stop_code = "STOPPED", "TaskFailedToStart"
            task.stopped_reason = str(error)
            _stopped(cloud, task, None)
            failed.append(task)
    return failed


def _start(cloud: Cloud, region: Region, task: Task) -> None:
    settings = cloud.settings
    folder = settings.root / "containers" / task.id
    instance_id = region.container_instances[task.container_instance_arn].instance_id
    definition = task.container_definition
    command = [str(settings.worker_python), *settings.container_command]
    environment = {
        **image_environment(settings.worker_python, folder),
        **{one["name"]: one["value"] for one in definition.get("environment", [])},
        **agent_environment(cloud, task, instance_id),
    }
    task.container = Container(command, environment, folder, log_driver(region, task))
    task.last_status, task.started_at = "RUNNING", now()
    cloud.tell("task-started", task_arn=task.arn, instance_id=instance_id, pid=task.container.pid)


def agent_environment(cloud: Cloud, task: Task, instance_id: str) -> dict[str, str]:
    """Return what agent and machine add to the environment of a container.

    Sources: "Amazon ECS task metadata endpoint version 4", "Amazon ECS task IAM role" and "Amazon
    ECS task scale-in protection endpoint" in the Amazon ECS Developer Guide. On AWS the addresses
    are link-local; here they carry the task or instance in the path, and the SDKs' own settings
    lead to them.
    """
    base = f"{cloud.endpoint_url}/_dcp"
    environment = {
        "ECS_CONTAINER_METADATA_URI_V4": f"{base}/task/{task.id}/v4/{task.id}",
        "ECS_AGENT_URI": f"{base}/task/{task.id}/api",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{base}/imds/{instance_id}/",
        "AWS_ENDPOINT_URL": cloud.endpoint_url,
    }
    if getattr(task.definition, "task_role_arn", None):
        environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{base}/task/{task.id}/credentials"
    return environment


def log_driver(region: Region, task: Task) -> Callable[[bytes], None]:
    """Return what takes the container's lines: the awslogs driver.

    Source: "Send Amazon ECS logs to CloudWatch" in the Amazon ECS Developer Guide: stream
    `prefix/container/task id`; the group must exist unless `awslogs-create-group` is set.

    Raises:
        ContainerError: When the log group does not exist.
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
            return  # The group was deleted under the container; AWS loses its output too.

    return deliver


def watch_tasks(cloud: Cloud, region: Region) -> list[Task]:
    """Look after running containers; return the tasks that stopped without being asked to."""
    failed = []
    for task in region.tasks():
        if task.container is None or task.last_status == "STOPPED":
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
        _stopped(cloud, task, code)
    return failed


def _stopped(cloud: Cloud, task: Task, code: int | None) -> None:
    task.last_status, task.stopped_at, task.exit_code = "STOPPED", now(), code
    task.protected_until = None
    cloud.credentials.pop(task.id, None)
    cloud.tell("task-stopped", task_arn=task.arn, code=task.stop_code, exit_code=code)


def role_credentials(cloud: Cloud, owner: str, role_arn: str) -> dict[str, str]:
    """Return a task's or machine's credentials for its role, the same while it lives."""
    if owner not in cloud.credentials:
        cloud.credentials[owner] = {
            "AccessKeyId": f"ASIA{uuid.uuid4().hex[:16].upper()}",
            "SecretAccessKey": uuid.uuid4().hex,
            "Token": uuid.uuid4().hex,
            "RoleArn": role_arn,
        }
    return cloud.credentials[owner]


def _digest(image: str) -> str:
    """Return the digest that an image name stands for: there is no registry to ask."""
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def task_description(region: Region, task: Task) -> dict[str, Any]:
    """Return a task as DescribeTasks shows it."""
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
        "runtimeId": task.id,
    }
    shown = {
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
        "connectivity": "CONNECTED",
        "tags": task.tags,
    }
    return _without_none(shown)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def role_arn_of(profile: Any) -> str:
    """Return a name for the role behind an instance profile, whatever form the profile came in."""
    name = str((profile or {}).get("Name") or (profile or {}).get("Arn", "")).rpartition("/")[2]
    return f"arn:aws:iam::{ACCOUNT_ID}:role/{name}" if name else ""
