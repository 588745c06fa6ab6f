"""How a machine ends itself.

ECS would restart the containers and a fleet of type maintain would replace the machine, so both
are told first to keep none. A step that is refused is one warning and keeps no other from being
tried: the fleet's `ValidUntil` ends what is left.
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


def end_machine(ecs: ECSClient, ec2: EC2Client, settings: Settings, instance_id: str) -> None:
    """Let the service keep no container and the fleet no machine, then terminate this one.

    Every machine of the run may do so at once: each call says the same again. With the service's
    count the container gets its SIGTERM, so the caller must not leave before this returns.

    Args:
        ecs: Client of ECS.
        ec2: Client of EC2.
        settings: Name the cluster and the service.
        instance_id: This machine; empty when it is not known, then it only leaves the service.
    """
    log.info("There is no more to do: this machine ends itself.")
    _tried("set the service to no containers", lambda: _empty_service(ecs, settings))
    if instance_id:
        _tried("set the fleet to no machines", lambda: _empty_fleet(ec2, instance_id))
        replace_machine(ec2, instance_id)


def replace_machine(ec2: EC2Client, instance_id: str) -> None:
    """Terminate this machine alone: a fleet that keeps its machines starts another."""
    if instance_id:
        _tried(
            f"terminate {instance_id}",
            lambda: ec2.terminate_instances(InstanceIds=[instance_id]),
        )


def _tried(what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except (BotoCoreError, ClientError) as error:
        log.warning("Could not %s: %s", what, error)


def _empty_service(ecs: ECSClient, settings: Settings) -> None:
    try:
        ecs.update_service(
            cluster=settings.ecs_cluster, service=settings.ecs_service, desiredCount=0
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NO_SERVICE:
            raise


def _empty_fleet(ec2: EC2Client, instance_id: str) -> None:
    """Lower the target of the fleet that this machine belongs to, and let it end its machines.

    Nothing is in flight, nor will be: whatever machine is still there does nothing.
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
