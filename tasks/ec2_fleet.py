"""EC2 Fleet of type `maintain`, from a launch template: the default (EC2 User Guide, EC2 Fleet)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from blocks import FleetTemplate
from blocks.errors import FleetError
from blocks.names import Names
from tasks.fleet import FleetEvent, history
from tasks.machines import ec2_tags
from tasks.run import Run

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

ENDED_STATES = frozenset({"deleted", "deleted_running", "deleted_terminating", "failed"})


@dataclass(frozen=True)
class Ec2Fleet:
    """An EC2 Fleet that exists.

    Attributes:
        ec2: The client.
        id: The fleet's id, `fleet-...`.
    """

    ec2: "EC2Client"
    id: str

    def resize(self, machines: int) -> None:
        """Ask for so many machines; those above are not terminated by this."""
        (fleet,) = self.ec2.describe_fleets(FleetIds=[self.id])["Fleets"]
        now = fleet["TargetCapacitySpecification"]
        on_demand = min(now.get("OnDemandTargetCapacity", 0), machines)
        self.ec2.modify_fleet(
            FleetId=self.id,
            ExcessCapacityTerminationPolicy="no-termination",
            TargetCapacitySpecification={
                "TotalTargetCapacity": machines,
                "OnDemandTargetCapacity": on_demand,
                "SpotTargetCapacity": machines - on_demand,
            },
        )

    def target(self) -> int:
        """How many machines are asked for; 0 when the fleet is deleted."""
        for fleet in self.ec2.describe_fleets(FleetIds=[self.id])["Fleets"]:
            if fleet["FleetState"] not in ENDED_STATES:
                return fleet["TargetCapacitySpecification"]["TotalTargetCapacity"]
        return 0

    def machines(self) -> list[str]:
        """The ids of the instances that the fleet has now."""
        ids: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = self.ec2.describe_fleet_instances(FleetId=self.id, **more)
            ids += [instance["InstanceId"] for instance in page["ActiveInstances"]]
            if not page.get("NextToken"):
                return ids
            more = {"NextToken": page["NextToken"]}

    def events(self, since: datetime) -> Iterator[FleetEvent]:
        """The fleet's history."""
        return history(
            self.ec2.describe_fleet_history, "service-error", FleetId=self.id, StartTime=since
        )

    def cancel(self) -> None:
        """Delete the fleet and terminate its machines; nothing happens when it is deleted."""
        answer = self.ec2.delete_fleets(FleetIds=[self.id], TerminateInstances=True)
        for refused in answer.get("UnsuccessfulFleetDeletions", []):
            if refused["Error"]["Code"] != "fleetNotInDeletableState":  # it has ended
                raise FleetError(f"fleet {self.id} was not deleted: {refused['Error']['Message']}")


def fleet_request(
    run: Run,
    fleet: FleetTemplate,
    launch_template_id: str,
    machines: int,
    ends_at: datetime,
    token: str,
) -> dict[str, Any]:
    """The request for the fleet (EC2 API Reference, CreateFleet).

    Spot machines of all the listed types in all the subnets, cheapest of those with the most
    spare capacity first. AWS itself ends the fleet and its machines at `ends_at`; a request that
    is repeated with the same token makes no second fleet.
    """
    config = run.config
    subnets = [{"SubnetId": subnet} for subnet in fleet.subnets] or [{}]
    overrides = [
        {"InstanceType": kind, "MaxPrice": f"{config.machine_price:.4f}"} | subnet
        for kind in config.machine_type
        for subnet in subnets
    ]
    on_demand = min(fleet.on_demand_base, machines)
    return {
        "Type": "maintain",
        "ClientToken": token,
        "SpotOptions": {
            "AllocationStrategy": "price-capacity-optimized",
            "InstanceInterruptionBehavior": "terminate",
        },
        "ExcessCapacityTerminationPolicy": "no-termination",
        "TerminateInstancesWithExpiration": True,
        "ValidUntil": ends_at,
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {
                    "LaunchTemplateId": launch_template_id,
                    "Version": "$Latest",
                },
                "Overrides": overrides,
            }
        ],
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": machines,
            "OnDemandTargetCapacity": on_demand,
            "SpotTargetCapacity": machines - on_demand,
            "DefaultTargetCapacityType": "spot",
        },
        "TagSpecifications": [{"ResourceType": "fleet", "Tags": ec2_tags(run.tags)}],
    }


def find_ec2_fleets(ec2: "EC2Client", app: str) -> Iterator[Ec2Fleet]:
    """All EC2 Fleets tagged as the app's that have not ended."""
    for page in ec2.get_paginator("describe_fleets").paginate():
        for fleet in page["Fleets"]:
            mine = {"Key": Names.app_tag, "Value": app} in fleet.get("Tags", [])
            if mine and fleet["FleetState"] not in ENDED_STATES:
                yield Ec2Fleet(ec2, fleet["FleetId"])
