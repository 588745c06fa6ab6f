"""The machine that runs the container: its id, its name, and the alarm that ends it if it hangs.

None of this can stop the jobs: a refused call only logs a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.machine.instance_metadata import UNANSWERED, InstanceMetadata

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client

    from dcp_worker.common.settings import Settings

log = logging.getLogger(__name__)

APP_TAG, RUN_TAG = "dcp:app", "dcp:run"
_IDLE_PERIOD_SECONDS = 300
_IDLE_PERIODS = 3


def identify(environment: Mapping[str, str]) -> str:
    """The id of this EC2 instance; empty without a metadata service.

    The machine needs its id to terminate itself, so a lost answer is retried.
    """
    metadata = InstanceMetadata(environment)
    for last in (False, False, True):
        try:
            return metadata.get("instance-id") or ""
        except UNANSWERED as error:
            if last:
                log.warning("The instance metadata service does not answer: %s", error)
    return ""


def set_up(ec2: EC2Client, cloudwatch: CloudWatchClient, settings: Settings, instance: str) -> None:
    """Name the instance and its volumes after the app, and create its idle alarm."""
    calls: dict[str, Callable[[], None]] = {
        "name": lambda: _name(ec2, settings, instance),
        "create the idle alarm of": lambda: _put_alarm(cloudwatch, settings, instance),
    }
    for action, call in calls.items():
        try:
            call()
        except (BotoCoreError, ClientError) as error:
            log.warning("Could not %s instance %s: %s", action, instance, error)


def _name(ec2: EC2Client, settings: Settings, instance: str) -> None:
    volumes = ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance]}]
    )["Volumes"]
    ec2.create_tags(
        Resources=[instance, *(volume["VolumeId"] for volume in volumes)],
        Tags=[{"Key": "Name", "Value": f"{settings.app_name}Worker"}],
    )


def alarm_name(app_name: str, instance: str) -> str:
    """The name of an instance's idle alarm; the clean-up finds the alarm by it."""
    return f"{app_name}_{instance}"


def _put_alarm(cloudwatch: CloudWatchClient, settings: Settings, instance: str) -> None:
    action, minutes = settings.idle_action, _IDLE_PERIODS * _IDLE_PERIOD_SECONDS // 60
    cloudwatch.put_metric_alarm(
        AlarmName=alarm_name(settings.app_name, instance),
        AlarmDescription=f"{action} a dcp machine that is idle for {minutes} minutes",
        AlarmActions=[f"arn:aws:automate:{settings.aws_region}:ec2:{action}"],
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": "InstanceId", "Value": instance}],
        Statistic="Maximum",
        Period=_IDLE_PERIOD_SECONDS,
        EvaluationPeriods=_IDLE_PERIODS,
        Threshold=1.0,
        ComparisonOperator="LessThanThreshold",
        Tags=[
            {"Key": APP_TAG, "Value": settings.app_name},
            {"Key": RUN_TAG, "Value": settings.run_id},
        ],
    )
