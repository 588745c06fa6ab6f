"""EC2 Fleet of type `maintain` with a launch template, the default (EC2 User Guide, EC2 Fleet)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from blocks import FleetTemplate
from blocks.errors import FleetError
from blocks.fleet_template.model import on_demand_of
from blocks.resource_names import Names
from tasks.fleet.base import BASE_TAG, SHARE_TAG, FleetEvent, history
from tasks.fleet.launch_template import LaunchTemplate, ec2_tags
from tasks.runs.run import Run

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FleetDataTypeDef

ENDED_STATES = frozenset({"deleted", "deleted_running", "deleted_terminating", "failed"})


@dataclass(frozen=True)
class Ec2Fleet:
    """An existing EC2 Fleet.

    Attributes:
        ec2: The client.
        id: The fleet's id, `fleet-...`.
    """

    ec2: "EC2Client"
    id: str

    def resize(self, machines: int) -> None:
        """Set the target capacity; does not terminate surplus machines."""
        (fleet,) = self.ec2.describe_fleets(FleetIds=[self.id])["Fleets"]
        tags = {tag["Key"]: tag["Value"] for tag in fleet.get("Tags", [])}
        base, share = int(tags.get(BASE_TAG, 0)), int(tags.get(SHARE_TAG, 0))
        capacity: Any = _capacity(machines, on_demand_of(machines, base, share))
        self.ec2.modify_fleet(
            FleetId=self.id,
            ExcessCapacityTerminationPolicy="no-termination",
            TargetCapacitySpecification=capacity,
        )

    def target(self) -> int:
        """Target capacity; 0 if the fleet is deleted."""
        for fleet in self.ec2.describe_fleets(FleetIds=[self.id])["Fleets"]:
            if fleet["FleetState"] not in ENDED_STATES:
                return fleet["TargetCapacitySpecification"]["TotalTargetCapacity"]
        return 0

    def machines(self) -> list[str]:
        """The ids of the fleet's current instances."""
        ids: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = self.ec2.describe_fleet_instances(FleetId=self.id, **more)
            ids += [instance["InstanceId"] for instance in page["ActiveInstances"]]
            if not page.get("NextToken"):
                return ids
            more = {"NextToken": page["NextToken"]}

    def events(self, since: datetime) -> Iterator[FleetEvent]:
        """The fleet's history since a time."""
        return history(
            self.ec2.describe_fleet_history, "service-error", FleetId=self.id, StartTime=since
        )

    def cancel(self) -> None:
        """Delete the fleet and terminate its machines; safe to repeat."""
        answer = self.ec2.delete_fleets(FleetIds=[self.id], TerminateInstances=True)
        for failure in answer.get("UnsuccessfulFleetDeletions", []):
            if failure["Error"]["Code"] != "fleetNotInDeletableState":  # it has ended
                raise FleetError(f"Could not delete fleet {self.id}: {failure['Error']['Message']}")


def fleet_request(
    run: Run,
    fleet: FleetTemplate,
    launch_template: LaunchTemplate,
    machines: int,
    ends_at: datetime,
    token: str,
) -> dict[str, Any]:
    """The request that creates the fleet (EC2 API Reference, CreateFleet).

    It requests spot machines of all listed types in all subnets: of the pools with the most spare
    capacity, the cheapest. AWS deletes the fleet and terminates its machines at `ends_at`. A
    repeated request with the same token creates no second fleet.

    Capacity rebalancing (EC2 User Guide, "Capacity Rebalancing") uses `launch`: EC2 launches a
    replacement at once, and the machine at risk keeps working until EC2 interrupts it.
    `launch-before-terminate` would terminate it within two hours, even while it runs jobs and even
    if EC2 never interrupts it. With `launch`, surplus machines are ours to terminate: the monitor
    terminates idle ones, the clean-up and `ends_at` all.
    """
    config = run.config
    subnets = [{"SubnetId": subnet} for subnet in fleet.subnets] or [{}]
    overrides = [
        {"InstanceType": kind, "MaxPrice": f"{config.machine_price:.4f}"} | subnet
        for kind in config.machine_type
        for subnet in subnets
    ]
    spot: dict[str, Any] = {
        "AllocationStrategy": "price-capacity-optimized",
        "InstanceInterruptionBehavior": "terminate",
    }
    if fleet.capacity_rebalancing:
        spot["MaintenanceStrategies"] = {"CapacityRebalance": {"ReplacementStrategy": "launch"}}
    tags = run.tags | {
        BASE_TAG: str(fleet.on_demand_base),
        SHARE_TAG: str(fleet.on_demand_share),
    }
    return {
        "Type": "maintain",
        "ClientToken": token,
        "SpotOptions": spot,
        "OnDemandOptions": {"AllocationStrategy": "lowest-price"},
        "ExcessCapacityTerminationPolicy": "no-termination",
        "TerminateInstancesWithExpiration": True,
        "ValidUntil": ends_at,
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {
                    "LaunchTemplateId": launch_template.id,
                    "Version": launch_template.version,
                },
                "Overrides": overrides,
            }
        ],
        "TargetCapacitySpecification": _capacity(machines, fleet.on_demand(machines))
        | {"DefaultTargetCapacityType": "spot"},
        "TagSpecifications": [{"ResourceType": "fleet", "Tags": ec2_tags(tags)}],
    }


def _capacity(machines: int, on_demand: int) -> dict[str, Any]:
    return {
        "TotalTargetCapacity": machines,
        "OnDemandTargetCapacity": on_demand,
        "SpotTargetCapacity": machines - on_demand,
    }


def find_ec2_fleets(ec2: "EC2Client", app: str) -> Iterator[Ec2Fleet]:
    """The app's EC2 Fleets that have not ended, by their tag."""
    for fleet in _tagged(ec2, {Names.app_tag: app}):
        if fleet["FleetState"] not in ENDED_STATES:
            yield Ec2Fleet(ec2, fleet["FleetId"])


def ended_ec2_fleets(ec2: "EC2Client", tags: Mapping[str, str]) -> int:
    """Number of EC2 Fleets with these tags that ended in the last two days."""
    fleets = _tagged(ec2, tags)
    return sum(fleet["FleetState"] in ENDED_STATES for fleet in fleets)


def _tagged(ec2: "EC2Client", tags: Mapping[str, str]) -> Iterator["FleetDataTypeDef"]:
    for page in ec2.get_paginator("describe_fleets").paginate():
        for fleet in page["Fleets"]:
            if all(tag in fleet.get("Tags", []) for tag in ec2_tags(tags)):
                yield fleet
