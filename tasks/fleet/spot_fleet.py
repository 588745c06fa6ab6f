"""Spot Fleet, for unchanged fleet files of Distributed-CellProfiler (DCP)."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from blocks.errors import FleetError
from blocks.resource_names import Names
from tasks.fleet.base import BASE_TAG, FleetEvent, history
from tasks.fleet.launch_template import ec2_tags, user_data
from tasks.runs.run import Run

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import SpotFleetRequestConfigTypeDef

ENDED_STATES = frozenset({"cancelled", "cancelled_running", "cancelled_terminating", "failed"})


@dataclass(frozen=True)
class SpotFleet:
    """An existing Spot Fleet request.

    Attributes:
        ec2: The client.
        id: The request's id, `sfr-...`.
    """

    ec2: "EC2Client"
    id: str

    def resize(self, machines: int) -> None:
        """Set the target capacity; does not terminate surplus machines."""
        (request,) = self.ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[self.id])[
            "SpotFleetRequestConfigs"
        ]
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        on_demand: Any = {}
        if base := int(tags.get(BASE_TAG, 0)):
            on_demand = {"OnDemandTargetCapacity": min(base, machines)}
        self.ec2.modify_spot_fleet_request(
            SpotFleetRequestId=self.id,
            TargetCapacity=machines,
            ExcessCapacityTerminationPolicy="noTermination",
            **on_demand,
        )

    def target(self) -> int:
        """Target capacity; 0 if the request is cancelled."""
        response = self.ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[self.id])
        for request in response["SpotFleetRequestConfigs"]:
            if request["SpotFleetRequestState"] not in ENDED_STATES:
                return request["SpotFleetRequestConfig"].get("TargetCapacity", 0)
        return 0

    def machines(self) -> list[str]:
        """The ids of the fleet's current instances."""
        pages = self.ec2.get_paginator("describe_spot_fleet_instances").paginate(
            SpotFleetRequestId=self.id
        )
        return [instance["InstanceId"] for page in pages for instance in page["ActiveInstances"]]

    def events(self, since: datetime) -> Iterator[FleetEvent]:
        """The fleet's history since a time."""
        return history(
            self.ec2.describe_spot_fleet_request_history,
            "error",
            SpotFleetRequestId=self.id,
            StartTime=since,
        )

    def cancel(self) -> None:
        """Cancel the request and terminate its machines; safe to repeat."""
        answer = self.ec2.cancel_spot_fleet_requests(
            SpotFleetRequestIds=[self.id], TerminateInstances=True
        )
        for failure in answer.get("UnsuccessfulFleetRequests", []):
            if failure["Error"]["Code"] != "fleetRequestNotInCancellableState":  # it has ended
                raise FleetError(f"Could not cancel fleet {self.id}: {failure['Error']['Message']}")


def spot_fleet_request(
    run: Run, template: Mapping[str, Any], machines: int, ends_at: datetime, token: str
) -> dict[str, Any]:
    """A DCP fleet file with the values of the run (EC2 API, SpotFleetRequestConfigData).

    Like DCP, sets a launch specification for each machine type, user data, the size of the data
    volume, price, target and times. The last device is the data volume; on an image with a single
    volume, the root.
    """
    config = run.config
    request = copy.deepcopy(dict(template))
    specifications = [
        _specification(run, specification, kind)
        for kind in config.machine_type
        for specification in template["LaunchSpecifications"]
    ]
    request.pop("ValidFrom", None)  # valid at once
    tags = run.tags
    if base := request.get("OnDemandTargetCapacity"):
        request["OnDemandTargetCapacity"] = min(base, machines)
        tags = tags | {BASE_TAG: str(base)}
    request |= {
        "Type": "maintain",
        "ClientToken": token,
        "TargetCapacity": machines,
        "SpotPrice": f"{config.machine_price:.2f}",
        "ExcessCapacityTerminationPolicy": "noTermination",
        "TerminateInstancesWithExpiration": True,
        "ValidUntil": ends_at,
        "LaunchSpecifications": specifications,
        "TagSpecifications": [{"ResourceType": "spot-fleet-request", "Tags": ec2_tags(tags)}],
    }
    return request


def _specification(run: Run, template: Mapping[str, Any], kind: str) -> dict[str, Any]:
    specification: dict[str, Any] = copy.deepcopy(dict(template))
    specification["InstanceType"] = kind
    specification["UserData"] = user_data(run.names, run.config.ecs_cluster)
    specification["SpotPrice"] = f"{run.config.machine_price:.2f}"
    specification["TagSpecifications"] = [
        {"ResourceType": "instance", "Tags": ec2_tags(run.tags | {"Name": run.names.app})}
    ]
    volume = data_volume(specification.get("BlockDeviceMappings", []))
    if volume:
        volume["Ebs"]["VolumeSize"] = run.config.ebs_vol_size
    if not run.config.assign_ip:
        for interface in specification.get("NetworkInterfaces", []):
            interface["AssociatePublicIpAddress"] = False
    return specification


def data_volume(devices: Sequence[Any]) -> Any:
    """The device that gets the run's `ebs_vol_size`: the last volume, or None."""
    return next((device for device in reversed(devices) if "Ebs" in device), None)


def find_spot_fleets(ec2: "EC2Client", app: str) -> Iterator[SpotFleet]:
    """The app's Spot Fleet requests that have not ended, by their tag."""
    for request in _tagged(ec2, {Names.app_tag: app}):
        if request["SpotFleetRequestState"] not in ENDED_STATES:
            yield SpotFleet(ec2, request["SpotFleetRequestId"])


def ended_spot_fleets(ec2: "EC2Client", tags: Mapping[str, str]) -> int:
    """Number of Spot Fleet requests with these tags that ended in the last two days."""
    requests = _tagged(ec2, tags)
    return sum(request["SpotFleetRequestState"] in ENDED_STATES for request in requests)


def _tagged(ec2: "EC2Client", tags: Mapping[str, str]) -> Iterator["SpotFleetRequestConfigTypeDef"]:
    for page in ec2.get_paginator("describe_spot_fleet_requests").paginate():
        for request in page["SpotFleetRequestConfigs"]:
            if all(tag in request.get("Tags", []) for tag in ec2_tags(tags)):
                yield request
