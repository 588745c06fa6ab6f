"""The machine under the container: its id, its name, and the alarm that ends it when it hangs.

None of it can stop the work: what is refused is one warning.
"""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client

    from dcp_worker.settings import Settings

log = logging.getLogger(__name__)

_METADATA = "http://169.254.169.254/"
_TIMEOUT = 2.0
_IDLE_PERIOD_SECONDS = 300
_IDLE_PERIODS = 3


def identify(environment: Mapping[str, str]) -> str:
    """The id of this EC2 instance by IMDSv2; empty when there is none to ask.

    A container behind a bridge needs a hop limit of 2 on the instance ("Use the Instance Metadata
    Service", Amazon EC2 User Guide).
    """
    base = (environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _METADATA).rstrip("/")
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    try:
        token = _ask(f"{base}/latest/api/token", "PUT", lifetime)
        return _ask(
            f"{base}/latest/meta-data/instance-id", "GET", {"X-aws-ec2-metadata-token": token}
        )
    except (OSError, HTTPException) as error:  # URLError, HTTPError and timeouts are OSErrors
        log.warning("The instance metadata service does not answer: %s", error)
        return ""


def _ask(url: str, method: str, headers: Mapping[str, str]) -> str:
    request = urllib.request.Request(url, headers=dict(headers), method=method)
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        return bytes(answer.read()).decode().strip()


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


def _put_alarm(cloudwatch: CloudWatchClient, settings: Settings, instance: str) -> None:
    cloudwatch.put_metric_alarm(
        AlarmName=f"{settings.app_name}_{instance}",
        AlarmDescription="Terminates a machine of dcp that has done nothing for 15 minutes.",
        AlarmActions=[f"arn:aws:automate:{settings.region}:ec2:terminate"],
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": "InstanceId", "Value": instance}],
        Statistic="Maximum",
        Period=_IDLE_PERIOD_SECONDS,
        EvaluationPeriods=_IDLE_PERIODS,
        Threshold=1.0,
        ComparisonOperator="LessThanThreshold",
        Tags=[
            {"Key": "dcp:app", "Value": settings.app_name},
            {"Key": "dcp:run", "Value": settings.run_id},
        ],
    )
