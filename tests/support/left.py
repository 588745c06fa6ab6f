"""What is left in an account that runs or costs, of any app."""

from deployments.local.emulator_client import Emulator
from tasks.aws.clients import Aws

GONE = {"deleted", "deleted_terminating", "cancelled", "cancelled_terminating", "failed"}


def left_in_account(aws: Aws, emulator: Emulator) -> list[str]:
    """Each in words: machines, fleets, services, queues but for the dead letters', alarms, and
    processes of containers."""
    left = [f"machine {one}" for one in machines(aws)]
    left += [
        f"fleet {one['FleetId']}"
        for one in aws.ec2.describe_fleets()["Fleets"]
        if one["FleetState"] not in GONE
    ]
    left += [
        f"fleet {one['SpotFleetRequestId']}"
        for one in aws.ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
        if one["SpotFleetRequestState"] not in GONE
    ]
    for cluster in aws.ecs.list_clusters()["clusterArns"]:
        left += [f"service {one}" for one in aws.ecs.list_services(cluster=cluster)["serviceArns"]]
    urls = aws.sqs.list_queues().get("QueueUrls", [])
    left += [f"queue {one}" for one in urls if not one.endswith("DeadMessages")]
    left += [
        f"alarm {one.get('AlarmName', one)}"
        for one in aws.cloudwatch.describe_alarms()["MetricAlarms"]
    ]
    return left + [f"container {one['task_id']}" for one in emulator.containers()]


def machines(aws: Aws) -> list[str]:
    """The ids of all machines that are not gone."""
    pages = aws.ec2.get_paginator("describe_instances").paginate()
    return [
        instance["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] in ("pending", "running", "stopping", "stopped")
    ]
