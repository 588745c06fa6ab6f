"""The machines of an app, in EC2 and in the ECS cluster."""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from blocks.resource_names import Names
from tasks.aws.concurrency import batches
from tasks.runs.run import Run

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef
    from mypy_boto3_ecs.type_defs import ContainerInstanceTypeDef

LIVE_STATES = ["pending", "running", "stopping", "stopped"]


def app_instances(ec2: "EC2Client", app: str) -> Iterator["InstanceTypeDef"]:
    """The app's instances, by their tag; includes recently terminated ones."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": f"tag:{Names.app_tag}", "Values": [app]}]
    )
    for page in pages:
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def live_machines(ec2: "EC2Client", app: str) -> list[str]:
    """The ids of the app's instances that still cost money."""
    return [
        instance["InstanceId"]
        for instance in app_instances(ec2, app)
        if instance["State"]["Name"] in LIVE_STATES
    ]


def terminate(ec2: "EC2Client", instance_ids: Iterable[str]) -> None:
    """Terminate machines, at most 1000 per request as EC2 recommends."""
    for ids in batches(instance_ids, 1000):
        ec2.terminate_instances(InstanceIds=ids)


def tasks_by_machine(run: Run) -> dict[str, int]:
    """Number of running and pending ECS tasks on each registered machine of the app.

    Returns:
        EC2 instance id -> number of all its ECS tasks; a machine without any is idle.
    """
    return {
        machine["ec2InstanceId"]: machine["runningTasksCount"] + machine["pendingTasksCount"]
        for machine in container_instances(run)
    }


def container_instances(run: Run) -> Iterator["ContainerInstanceTypeDef"]:
    """The app's machines in the cluster as ECS describes them, a hundred per call."""
    for arns in batches(_container_instances(run), 100):
        described = run.aws.ecs.describe_container_instances(
            cluster=run.config.ecs_cluster, containerInstances=arns
        )
        yield from described["containerInstances"]


def deregister_machines(run: Run, alive: Collection[str]) -> int:
    """Deregister the app's container instances without a machine; returns their number.

    ECS itself does this if an instance terminates while its agent is connected. Otherwise it keeps
    a stale entry, and the cluster cannot be deleted (ECS, DeregisterContainerInstance).

    Args:
        run: The run.
        alive: The ids of the machines that still exist.
    """
    stale = [
        instance for instance in container_instances(run) if instance["ec2InstanceId"] not in alive
    ]
    for instance in stale:
        run.aws.ecs.deregister_container_instance(
            cluster=run.config.ecs_cluster,
            containerInstance=instance["containerInstanceArn"],
            force=True,
        )
    return len(stale)


def _container_instances(run: Run) -> Iterator[str]:
    pages = run.aws.ecs.get_paginator("list_container_instances").paginate(
        cluster=run.config.ecs_cluster, filter=run.names.placement
    )
    for page in pages:
        yield from page["containerInstanceArns"]
