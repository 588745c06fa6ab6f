"""The resources in an account that run or cost money, of any app."""

from deployments.local.emulator_client import Emulator
from tasks.aws.clients import Aws

GONE = {"deleted", "deleted_terminating", "cancelled", "cancelled_terminating", "failed"}


def remaining_in_account(aws: Aws, emulator: Emulator) -> list[str]:
    """Each in words: machines, fleets, services, queues but for the dead letters', alarms, and
    processes of containers."""
    left = [f"machine {machine}" for machine in machines(aws)]
    left += [
        f"fleet {fleet['FleetId']}"
        for fleet in aws.ec2.describe_fleets()["Fleets"]
        if fleet["FleetState"] not in GONE
    ]
    left += [
        f"fleet {spot_fleet_request_config['SpotFleetRequestId']}"
        for spot_fleet_request_config in aws.ec2.describe_spot_fleet_requests()[
            "SpotFleetRequestConfigs"
        ]
        if spot_fleet_request_config["SpotFleetRequestState"] not in GONE
    ]
    for cluster in aws.ecs.list_clusters()["clusterArns"]:
        left += [
            f"service {service_arn}"
            for service_arn in aws.ecs.list_services(cluster=cluster)["serviceArns"]
        ]
    urls = aws.sqs.list_queues().get("QueueUrls", [])
    left += [f"queue {url}" for url in urls if not url.endswith("DeadMessages")]
    left += [
        f"alarm {metric_alarm.get('AlarmName', metric_alarm)}"
        for metric_alarm in aws.cloudwatch.describe_alarms()["MetricAlarms"]
    ]
    return left + [f"container {container['task_id']}" for container in emulator.containers()]


def machines(aws: Aws) -> list[str]:
    """The ids of all machines that are not terminated."""
    pages = aws.ec2.get_paginator("describe_instances").paginate()
    return [
        instance["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] in ("pending", "running", "stopping", "stopped")
    ]
