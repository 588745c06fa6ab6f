"""The ECS cluster, the worker's task definition, and the service that runs it."""

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.runs.run import Run

if TYPE_CHECKING:
    from mypy_boto3_ecs.type_defs import (
        PlacementConstraintTypeDef,
        ServiceTypeDef,
        TagTypeDef,
    )

DIGEST_TAG = "dcp:digest"
# What a container needs to mount a file system ("Running Mountpoint for Amazon S3 in a Docker
# container"); "privileged" would grant much more.
FUSE: dict[str, Any] = {
    "devices": [{"hostPath": "/dev/fuse", "containerPath": "/dev/fuse"}],
    "capabilities": {"add": ["SYS_ADMIN"]},
}
# Above ECS's default of 10m, because output that exceeds the buffer is lost. AWS tested this size
# with 5 MB per second (ECS Developer Guide, "Send Amazon ECS logs to CloudWatch").
LOG_BUFFER = "25m"
STOP_SECONDS = 120  # from SIGTERM to SIGKILL; a spot interruption leaves the same time


class WorkerVariable(NamedTuple):
    """A variable of the worker's environment (docs/contract.schema.json, `worker_settings`).

    Attributes:
        key: Key of the run config, or of a value of the run; also the name of the worker's setting.
        name: Name of the variable.
        always: Whether to write it even if its value is empty.
    """

    key: str
    name: str
    always: bool = True


WORKER_VARIABLES = (
    WorkerVariable("aws_region", "AWS_REGION"),
    WorkerVariable("app_name", "APP_NAME"),
    WorkerVariable("run_id", "RUN_ID"),
    WorkerVariable("ecs_cluster", "ECS_CLUSTER"),
    WorkerVariable("ecs_service", "ECS_SERVICE"),
    WorkerVariable("log_group_name", "LOG_GROUP_NAME"),
    WorkerVariable("sqs_queue_url", "SQS_QUEUE_URL"),
    WorkerVariable("sqs_dead_letter_queue_url", "SQS_DEAD_LETTER_QUEUE_URL"),
    WorkerVariable("sqs_message_visibility", "SQS_MESSAGE_VISIBILITY"),
    WorkerVariable("job_retries", "JOB_RETRIES"),
    WorkerVariable("job_timeout", "JOB_TIMEOUT"),
    WorkerVariable("stop_seconds", "STOP_SECONDS"),
    WorkerVariable("idle_seconds", "IDLE_SECONDS"),
    WorkerVariable("idle_action", "IDLE_ACTION"),
    WorkerVariable("docker_cores", "DOCKER_CORES"),
    WorkerVariable("seconds_to_start", "SECONDS_TO_START"),
    WorkerVariable("memory", "MEMORY"),
    WorkerVariable("aws_bucket", "AWS_BUCKET"),
    WorkerVariable("source_bucket", "SOURCE_BUCKET", always=False),
    WorkerVariable("workspace_bucket", "WORKSPACE_BUCKET", always=False),
    WorkerVariable("destination_bucket", "DESTINATION_BUCKET", always=False),
    WorkerVariable("download_files", "DOWNLOAD_FILES"),
    WorkerVariable("no_sign_request", "NO_SIGN_REQUEST"),
    WorkerVariable("upload_arguments", "UPLOAD_OPTIONS", always=False),
    WorkerVariable("check_if_done_bool", "CHECK_IF_DONE_BOOL"),
    WorkerVariable("check_if_done_exact", "CHECK_IF_DONE_EXACT"),
    WorkerVariable("expected_number_files", "EXPECTED_NUMBER_FILES"),
    WorkerVariable("min_file_size_bytes", "MIN_FILE_SIZE_BYTES"),
    WorkerVariable("necessary_string", "NECESSARY_STRING"),
    WorkerVariable("warm", "WARM"),
    WorkerVariable("always_continue", "ALWAYS_CONTINUE"),
    WorkerVariable("use_plugins", "USE_PLUGINS"),
    WorkerVariable("update_plugins", "UPDATE_PLUGINS", always=False),
    WorkerVariable("plugins_commit", "PLUGINS_COMMIT", always=False),
    WorkerVariable("install_requirements", "INSTALL_REQUIREMENTS", always=False),
    WorkerVariable("requirements", "REQUIREMENTS", always=False),
)


def _text(value: object) -> str:
    """A value in the worker's format: True or False, a number, text, or a JSON object."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)


def worker_environment(run: Run, queue_url: str, dead_letter_url: str) -> dict[str, str]:
    """The environment of a worker container: DCP's variables, and values of this run.

    It has no credentials: ECS gives the container those of its task role.
    """
    run_values: dict[str, object] = {
        "run_id": run.run_id,
        "ecs_service": run.names.service,
        "log_group_name": run.names.log_group,
        "sqs_queue_url": queue_url,
        "sqs_dead_letter_queue_url": dead_letter_url,
        "stop_seconds": STOP_SECONDS,
    }
    environment = {}
    for key, name, always in WORKER_VARIABLES:
        value = run_values[key] if key in run_values else getattr(run.config, key)
        if value or always:
            environment[name] = _text(value)
    return environment


def task_definition(
    run: Run, environment: dict[str, str], execution_role: str | None = None
) -> dict[str, Any]:
    """The request that registers the worker's task definition (ECS, RegisterTaskDefinition).

    Args:
        run: The run.
        environment: The container's environment.
        execution_role: ARN of the role with which ECS pulls the image and opens the log.
    """
    config, names = run.config, run.names
    container: dict[str, Any] = {
        "name": names.container,
        "image": config.dockerhub_tag,
        "cpu": config.cpu_units,
        "memory": config.memory,
        "essential": True,
        "stopTimeout": STOP_SECONDS,
        "environment": [
            {"name": name, "value": value} for name, value in sorted(environment.items())
        ],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": names.instance_log_group,
                "awslogs-region": config.aws_region,
                "awslogs-stream-prefix": names.app,
                # A slow log service must not block the worker's output, and thereby its jobs.
                "mode": "non-blocking",
                "max-buffer-size": LOG_BUFFER,
            },
        },
    }
    if not config.download_files:
        container["linuxParameters"] = FUSE
    definition: dict[str, Any] = {
        "family": names.task_family,
        "networkMode": "bridge",
        "requiresCompatibilities": ["EC2"],
        "containerDefinitions": [container],
    }
    if config.task_role:
        definition["taskRoleArn"] = config.task_role
    if execution_role:
        definition["executionRoleArn"] = execution_role
    return definition


def _execution_role(run: Run) -> str | None:
    """The ARN of the execution role, because RegisterTaskDefinition accepts no name."""
    role = run.config.execution_role
    if not role or role.startswith("arn:"):
        return role
    identity = run.aws.sts.get_caller_identity()
    partition = identity["Arn"].split(":")[1]
    return f"arn:{partition}:iam::{identity['Account']}:role/{role}"


def _tags(tags: dict[str, str]) -> "list[TagTypeDef]":
    return [{"key": key, "value": value} for key, value in tags.items()]


def ensure_cluster(run: Run) -> None:
    """Create the ECS cluster if it does not exist; does not change an existing one."""
    name = run.config.ecs_cluster
    clusters = run.aws.ecs.describe_clusters(clusters=[name])["clusters"]
    if not any(cluster["status"] == "ACTIVE" for cluster in clusters):
        run.aws.ecs.create_cluster(clusterName=name, tags=_tags({run.names.app_tag: run.names.app}))


def ensure_task_definition(run: Run, environment: dict[str, str]) -> str:
    """Register the worker's task definition if it has changed; returns its ARN."""
    definition = task_definition(run, environment, _execution_role(run))
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
    pages = run.aws.ecs.get_paginator("list_task_definitions").paginate(
        familyPrefix=run.names.task_family, status="ACTIVE", sort="DESC"
    )
    for page in pages:
        for arn in page["taskDefinitionArns"]:
            tags = run.aws.ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
            if {"key": DIGEST_TAG, "value": digest} in tags.get("tags", []):
                return arn
    answer = run.aws.ecs.register_task_definition(
        **definition, tags=_tags(run.tags | {DIGEST_TAG: digest})
    )
    return answer["taskDefinition"]["taskDefinitionArn"]


def find_service(run: Run) -> "ServiceTypeDef | None":
    """The app's active service as ECS describes it; None if there is none."""
    response = run.aws.ecs.describe_services(
        cluster=run.config.ecs_cluster, services=[run.names.service]
    )
    for service in response["services"]:
        if service["status"] == "ACTIVE":
            return service
    return None


def placement_constraints(run: Run) -> "list[PlacementConstraintTypeDef]":
    """Constraints that place containers on this app's machines, by their attribute.

    ECS places as many containers on a machine as fit, even if fewer are planned and other machines
    stay empty. The only limit it offers is one task per machine (ECS Developer Guide, "Define which
    container instances Amazon ECS uses for tasks"). Preflight warns if more containers fit than
    planned.
    """
    own: PlacementConstraintTypeDef = {"type": "memberOf", "expression": run.names.placement}
    return [own, {"type": "distinctInstance"}] if run.config.tasks_per_machine == 1 else [own]


def ensure_service(run: Run, task_definition_arn: str) -> None:
    """Create the service with no containers yet, or set the task definition of an existing one.

    It fills one machine before the next, so that machines become idle as the jobs run out.
    """
    ecs, cluster, name = run.aws.ecs, run.config.ecs_cluster, run.names.service
    service = find_service(run)
    if service is not None:
        if service["taskDefinition"] != task_definition_arn:
            ecs.update_service(cluster=cluster, service=name, taskDefinition=task_definition_arn)
        return
    # A deleted service drains first, and keeps its name until then.
    services = ecs.describe_services(cluster=cluster, services=[name])["services"]
    if any(service["status"] == "DRAINING" for service in services):
        ecs.get_waiter("services_inactive").wait(
            cluster=cluster, services=[name], WaiterConfig={"Delay": 5, "MaxAttempts": 60}
        )
    ecs.create_service(
        cluster=cluster,
        serviceName=name,
        taskDefinition=task_definition_arn,
        desiredCount=0,
        launchType="EC2",
        schedulingStrategy="REPLICA",
        deploymentConfiguration={"maximumPercent": 100, "minimumHealthyPercent": 0},
        placementConstraints=placement_constraints(run),
        placementStrategy=[{"type": "binpack", "field": "memory"}],
        tags=_tags(run.tags),
        propagateTags="SERVICE",
    )


def image_digest(run: Run) -> str:
    """The digest of the worker's image that a machine pulled; "" while no container runs.

    It identifies the image behind a tag (Amazon ECS API Reference, Container).
    """
    ecs, cluster = run.aws.ecs, run.config.ecs_cluster
    arns = ecs.list_tasks(cluster=cluster, family=run.names.task_family, maxResults=10)["taskArns"]
    tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
    containers = (container for task in tasks for container in task.get("containers", []))
    digests = (container.get("imageDigest", "") for container in containers)
    return next(filter(None, digests), "")


def set_desired_count(run: Run, containers: int) -> bool:
    """Set the number of containers of the service; returns whether the service exists."""
    if find_service(run) is None:
        return False
    run.aws.ecs.update_service(
        cluster=run.config.ecs_cluster, service=run.names.service, desiredCount=containers
    )
    return True


def delete_service(run: Run) -> bool:
    """Delete the service and stop its containers; returns whether it existed."""
    if find_service(run) is None:
        return False
    run.aws.ecs.delete_service(
        cluster=run.config.ecs_cluster, service=run.names.service, force=True
    )
    return True


def deregister_task_definitions(run: Run) -> int:
    """Deregister all active task definitions of the app; returns their number."""
    pages = run.aws.ecs.get_paginator("list_task_definitions").paginate(
        familyPrefix=run.names.task_family, status="ACTIVE"
    )
    arns = [arn for page in pages for arn in page["taskDefinitionArns"]]
    own = [arn for arn in arns if arn.rsplit("/", 1)[-1].split(":")[0] == run.names.task_family]
    for arn in own:
        run.aws.ecs.deregister_task_definition(taskDefinition=arn)
    return len(own)


def delete_cluster(run: Run) -> str:
    """Delete the cluster if dcp created it, nothing uses it, and it is not `default`.

    Returns:
        The result, for people.
    """
    name = run.config.ecs_cluster
    clusters = run.aws.ecs.describe_clusters(clusters=[name], include=["TAGS"])["clusters"]
    cluster = next((cluster for cluster in clusters if cluster["status"] == "ACTIVE"), None)
    if name == "default" or cluster is None:
        return "kept" if cluster else "not found"
    if not any(tag.get("key") == run.names.app_tag for tag in cluster.get("tags", [])):
        return "kept: not created by dcp"
    used = (
        cluster["registeredContainerInstancesCount"]
        + cluster["activeServicesCount"]
        + cluster["runningTasksCount"]
    )
    if used:
        return "kept: in use"
    run.aws.ecs.delete_cluster(cluster=name)
    return "deleted"
