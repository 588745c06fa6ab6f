"""How the machine terminates itself.

ECS would restart the containers and a fleet of type maintain would replace the machine, so the
targets of both are first set to 0. A step that fails logs a warning and does not stop the next:
the fleet's `ValidUntil` terminates whatever remains.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ecs import ECSClient

    from dcp_worker.common.settings import Settings

log = logging.getLogger(__name__)

# EC2 tags the instances of fleets with these ("Tag your resources", Amazon EC2 User Guide).
_EC2_FLEET = "aws:ec2:fleet-id"
_SPOT_FLEET = "aws:ec2spot:fleet-request-id"
_NO_SERVICE = (
    "ClusterNotFoundException",
    "ServiceNotActiveException",
    "ServiceNotFoundException",
)


def terminate_machine(ecs: ECSClient, ec2: EC2Client, settings: Settings, instance_id: str) -> None:
    """Set the targets of the service and the fleet to 0, then terminate this machine.

    All machines of a run may do so at the same time: the calls are idempotent. The new desired
    count brings this container its SIGTERM, so the caller must not exit before this returns.

    Args:
        ecs: ECS client.
        ec2: EC2 client.
        settings: Name the cluster and the service.
        instance_id: This machine; if empty (unknown), only the service is set to 0.
    """
    log.info("No jobs for %d s: terminating this instance.", settings.idle_seconds)
    _try("set the service's desired count to 0", lambda: _empty_service(ecs, settings))
    if instance_id:
        _try("set the fleet's target capacity to 0", lambda: _empty_fleet(ec2, instance_id))
        replace_machine(ec2, instance_id)


def replace_machine(ec2: EC2Client, instance_id: str) -> None:
    """Terminate this machine alone: a fleet of type maintain launches a replacement."""
    if instance_id:
        _try(
            f"terminate {instance_id}",
            lambda: ec2.terminate_instances(InstanceIds=[instance_id]),
        )


def _try(action: str, call: Callable[[], object]) -> None:
    try:
        call()
    except (BotoCoreError, ClientError) as error:
        log.warning("Could not %s: %s", action, error)


def _empty_service(ecs: ECSClient, settings: Settings) -> None:
    try:
        ecs.update_service(
            cluster=settings.ecs_cluster, service=settings.ecs_service, desiredCount=0
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NO_SERVICE:
            raise


def _empty_fleet(ec2: EC2Client, instance_id: str) -> None:
    """Set the target of this machine's fleet to 0 and let the fleet terminate its machines.

    No message is or will be in flight, so the other machines are idle too.
    """
    tags = ec2.describe_tags(
        Filters=[
            {"Name": "resource-id", "Values": [instance_id]},
            {"Name": "key", "Values": [_EC2_FLEET, _SPOT_FLEET]},
        ]
    )["Tags"]
    for tag in tags:
        if tag["Key"] == _EC2_FLEET:
            ec2.modify_fleet(
                FleetId=tag["Value"],
                ExcessCapacityTerminationPolicy="termination",
                TargetCapacitySpecification={
                    "TotalTargetCapacity": 0,
                    "OnDemandTargetCapacity": 0,
                    "SpotTargetCapacity": 0,
                },
            )
        else:
            ec2.modify_spot_fleet_request(
                SpotFleetRequestId=tag["Value"],
                TargetCapacity=0,
                ExcessCapacityTerminationPolicy="default",
            )
