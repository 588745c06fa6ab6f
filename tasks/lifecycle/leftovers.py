"""The resources of an app in AWS, found by name and tag, kind by kind."""

from collections.abc import Callable
from typing import Any

from blocks.resource_names import Names
from tasks.aws.errors import AwsError, error_code
from tasks.fleet.find import find_fleets
from tasks.fleet.instances import LIVE_STATES, app_instances, container_instances
from tasks.fleet.launch_template import find_launch_template
from tasks.jobs.queues import find_queue
from tasks.monitor.dashboard import find_dashboard
from tasks.resources.cpu_alarms import alarm_names
from tasks.resources.ecs import find_service
from tasks.runs.run import Run

MISSING_CLUSTER = "ClusterNotFoundException"
THERE_STATES = [*LIVE_STATES, "shutting-down"]


def if_cluster(step: Callable[[Run], Any], run: Run) -> Any:
    """Run a step in ECS; without the cluster there is nothing to do."""
    try:
        return step(run)
    except AwsError as error:
        if error_code(error) == MISSING_CLUSTER:
            return 0
        raise


def machine_states(run: Run) -> dict[str, str]:
    """State of each machine of the app that has not terminated yet, by instance id."""
    return {
        instance["InstanceId"]: instance["State"]["Name"]
        for instance in app_instances(run.aws.ec2, run.names.app)
        if instance["State"]["Name"] in THERE_STATES
    }


def left_volumes(run: Run) -> list[str]:
    """The ids of the app's unattached volumes, which still cost money."""
    pages = run.aws.ec2.get_paginator("describe_volumes").paginate(
        Filters=[
            {"Name": f"tag:{Names.app_tag}", "Values": [run.names.app]},
            {"Name": "status", "Values": ["available"]},
        ]
    )
    return [volume["VolumeId"] for page in pages for volume in page["Volumes"]]


def left_running(run: Run) -> list[str]:
    """Resources of the app that run, cost money, or would conflict with its next run.

    Returns:
        Kind and name of each.
    """
    names = run.names
    left = [f"fleet {fleet.id}" for fleet in find_fleets(run)]
    states = machine_states(run)
    left += [f"machine {one}" for one, state in states.items() if state in LIVE_STATES]
    left += [f"volume {volume}" for volume in left_volumes(run)]
    if if_cluster(find_service, run):
        left.append(f"service {names.service}")
    left += [f"task {arn}" for arn in if_cluster(_tasks, run) or ()]
    instances = if_cluster(lambda run: list(container_instances(run)), run) or ()
    left += [f"container instance {one['containerInstanceArn']}" for one in instances]
    if find_queue(run.aws.sqs, names.queue):
        left.append(f"queue {names.queue}")
    if find_launch_template(run):
        left.append(f"launch template {names.launch_template}")
    if run.config.clean_dashboard and find_dashboard(run):
        left.append(f"dashboard {names.dashboard}")
    return left + [f"alarm {alarm}" for alarm in alarm_names(run)]


def _tasks(run: Run) -> list[str]:
    pages = run.aws.ecs.get_paginator("list_tasks").paginate(
        cluster=run.config.ecs_cluster, family=run.names.task_family
    )
    return [arn for page in pages for arn in page["taskArns"]]


def what_stays(run: Run) -> str:
    """What a clean-up deliberately keeps, in words."""
    config, names = run.config, run.names
    stays = [
        f"results, record and report in s3://{config.aws_bucket}/{run.key('')}",
        f"dead-letter queue {names.dead_letter_queue}",
        f"log groups {names.log_group} and {names.instance_log_group} (60 days)",
    ]
    if not config.clean_dashboard:
        stays.append(f"dashboard {names.dashboard} (clean_dashboard is off)")
    return "kept: " + "; ".join(stays)
