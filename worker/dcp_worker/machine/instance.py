"""The machine under the container: its id, its name, and the alarm that ends it when it hangs.

None of it can stop the work: what is refused is one warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.machine.instance_metadata import UNANSWERED, Metadata

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client

    from dcp_worker.common.settings import Settings

log = logging.getLogger(__name__)

APP_TAG, RUN_TAG = "dcp:app", "dcp:run"
_IDLE_PERIOD_SECONDS = 300
_IDLE_PERIODS = 3


def identify(environment: Mapping[str, str]) -> str:
    """The id of this EC2 instance; empty when there is no metadata service to ask.

    Without it the machine could not end itself, so one lost answer does not count.
    """
    metadata = Metadata(environment)
    for last in (False, False, True):
        try:
            return metadata.get("instance-id") or ""
        except UNANSWERED as error:
            if last:
                log.warning("The instance metadata service does not answer: %s", error)
    return ""


def set_up(ec2: EC2Client, cloudwatch: CloudWatchClient, settings: Settings, instance: str) -> None:
    """Name the instance and its volumes after the app, and put the idle alarm on it."""
    calls: dict[str, Callable[[], None]] = {
        "named": lambda: _name(ec2, settings, instance),
        "given its idle alarm": lambda: _put_alarm(cloudwatch, settings, instance),
    }
    for what, call in calls.items():
        try:
            call()
        except (BotoCoreError, ClientError) as error:
            log.warning("The instance %s could not be %s: %s", instance, what, error)


def _name(ec2: EC2Client, settings: Settings, instance: str) -> None:
    volumes = ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance]}]
    )["Volumes"]
    ec2.create_tags(
        Resources=[instance, *(volume["VolumeId"] for volume in volumes)],
        Tags=[{"Key": "Name", "Value": f"{settings.app_name}Worker"}],
    )


def alarm_name(app_name: str, instance: str) -> str:
    """The name of the idle alarm of an instance, by which a clean-up finds it."""
    return f"{app_name}_{instance}"


def _put_alarm(cloudwatch: CloudWatchClient, settings: Settings, instance: str) -> None:
    action, minutes = settings.idle_action, _IDLE_PERIODS * _IDLE_PERIOD_SECONDS // 60
    cloudwatch.put_metric_alarm(
        AlarmName=alarm_name(settings.app_name, instance),
        AlarmDescription=f"A machine of dcp that does nothing for {minutes} minutes: {action}.",
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
