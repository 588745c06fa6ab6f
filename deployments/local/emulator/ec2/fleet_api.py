"""The EC2 Fleet actions of the EC2 API."""

from typing import Any

from moto.ec2.utils import convert_tag_spec

from deployments.local.emulator.core.fleet import (
    EC2_FLEET,
    ERROR,
    INSTANCE_CHANGE,
    REQUEST_CHANGE,
    EmulatedFleet,
    LaunchSpec,
    new_fleet_id,
)
from deployments.local.emulator.core.state import EmulatorState, Region, now
from deployments.local.emulator.ec2.fleet_reconciler import close
from deployments.local.emulator.protocol.exceptions import ApiError

KEPT = (
    "ClientToken",
    "ExcessCapacityTerminationPolicy",
    "LaunchTemplateConfigs",
    "OnDemandOptions",
    "ReplaceUnhealthyInstances",
    "SpotOptions",
    "TargetCapacitySpecification",
    "TerminateInstancesWithExpiration",
    "Type",
    "ValidFrom",
    "ValidUntil",
)

# Event types in requests of DescribeFleetHistory (FleetEventType), and in its responses.
EVENT_FILTERS = {
    "fleet-change": REQUEST_CHANGE,
    "instance-change": INSTANCE_CHANGE,
    "service-error": ERROR,
}

# The filters of DescribeFleets; it has no filter for tags.
FILTERS = {
    "activity-status": "ActivityStatus",
    "excess-capacity-termination-policy": "ExcessCapacityTerminationPolicy",
    "fleet-state": "FleetState",
    "type": "Type",
}


def create_fleet(emulator: EmulatorState, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """CreateFleet, types `maintain` and `request`.

    Raises:
        ApiError: The type is `instant`, there are tags on instances (only for `instant`), or the
            launch template does not exist.
    """
    kind = params.get("Type", "maintain")
    if kind == "instant":
        raise ApiError("UnsupportedOperation", "Fleets of type instant are not emulated")
    tags = convert_tag_spec(params.get("TagSpecifications", []))
    if set(tags) - {"fleet"}:
        text = f"Tag specification for a fleet of type {kind} must have resource type 'fleet'"
        raise ApiError("InvalidParameterValue", text)
    capacity = params["TargetCapacitySpecification"]
    options = params.get("SpotOptions", {})
    fleet = EmulatedFleet(
        id=new_fleet_id(),
        flavour=EC2_FLEET,
        config={key: params[key] for key in KEPT if key in params} | {"Type": kind},
        specs=tuple(template_specs(region, params["LaunchTemplateConfigs"])),
        target=capacity["TotalTargetCapacity"],
        on_demand_target=on_demand_target(capacity),
        keeps=kind == "maintain",
        diversified=options.get("AllocationStrategy") == "diversified",
        terminates_excess=params.get("ExcessCapacityTerminationPolicy") != "no-termination",
        terminates_at_expiry=params.get("TerminateInstancesWithExpiration", False),
        valid_until=params.get("ValidUntil"),
        **rebalancing(options.get("MaintenanceStrategies", {})),
        created_at=now(),
    )
    region.fleets[fleet.id] = fleet
    region.ec2.create_tags([fleet.id], tags.get("fleet", {}))
    fleet.record(now(), REQUEST_CHANGE, "submitted")
    return {"FleetId": fleet.id}


def rebalancing(strategies: dict[str, Any]) -> dict[str, Any]:
    """Return how a fleet replaces machines with a rebalance recommendation.

    Source: FleetSpotCapacityRebalanceRequest and SpotCapacityRebalance in the Amazon EC2 API
    Reference.
    """
    strategy = strategies.get("CapacityRebalance", {})
    return {
        "rebalances": bool(strategy),
        "termination_delay": strategy.get("TerminationDelay"),
    }


def on_demand_target(capacity: dict[str, Any]) -> int:
    """Return the on-demand part of a target capacity.

    Source: TargetCapacitySpecificationRequest: the remainder has the default type.
    """
    total, spot = capacity["TotalTargetCapacity"], capacity.get("SpotTargetCapacity", 0)
    if capacity.get("DefaultTargetCapacityType", "on-demand") == "on-demand":
        return int(total - spot)
    return int(capacity.get("OnDemandTargetCapacity", 0))


def template_specs(region: Region, configs: list[dict[str, Any]]) -> list[LaunchSpec]:
    """Return the launch specifications of launch templates with their overrides.

    Raises:
        ApiError: There is no such template or version.
    """
    specs = []
    for config in configs:
        template_ref = config["LaunchTemplateSpecification"]
        if template_ref.get("LaunchTemplateId"):
            template = region.ec2.get_launch_template(template_ref["LaunchTemplateId"])
        else:
            template = region.ec2.get_launch_template_by_name(template_ref["LaunchTemplateName"])
        data = template.get_version(template_ref.get("Version", "$Default")).data
        for override in config.get("Overrides") or [{}]:
            specs.append(_template_spec({**data, **override}))
    return specs


def _template_spec(data: dict[str, Any]) -> LaunchSpec:
    interface: dict[str, Any] = next(iter(data.get("NetworkInterfaces", [])), {})
    return LaunchSpec(
        image_id=data.get("ImageId", ""),
        instance_type=data.get("InstanceType", ""),
        user_data=data.get("UserData"),
        subnet_id=data.get("SubnetId") or interface.get("SubnetId"),
        security_group_ids=tuple(data.get("SecurityGroupIds") or interface.get("Groups") or ()),
        key_name=data.get("KeyName"),
        instance_profile=data.get("IamInstanceProfile"),
        block_devices=data.get("BlockDeviceMappings", ()),
        public_ip=interface.get("AssociatePublicIpAddress"),
        tags=convert_tag_spec(data.get("TagSpecifications", [])),
        weight=float(data.get("WeightedCapacity", 1)),
        zone=data.get("AvailabilityZone") or data.get("Placement", {}).get("AvailabilityZone"),
        max_price=float(data["MaxPrice"]) if data.get("MaxPrice") else None,
    )


def find(region: Region, fleet_id: str) -> EmulatedFleet:
    """Return a fleet.

    Raises:
        ApiError: There is no fleet with this id.
    """
    fleet = region.fleets.get(fleet_id)
    if fleet is None or fleet.flavour is not EC2_FLEET:
        text = f"The fleet ID '{fleet_id}' does not exist"
        raise ApiError("InvalidFleetId.NotFound", text)
    return fleet


def describe_fleets(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeFleets."""
    ids = params.get("FleetIds") or [
        fleet.id for fleet in region.fleets.values() if fleet.flavour is EC2_FLEET
    ]
    fleets = [_description(region, find(region, fleet_id)) for fleet_id in ids]
    for filter_ in params.get("Filters", []):
        if filter_["Name"] not in FILTERS:
            text = f"The filter '{filter_['Name']}' is invalid"
            raise ApiError("InvalidParameterValue", text)
        key = FILTERS[filter_["Name"]]
        fleets = [fleet for fleet in fleets if str(fleet.get(key)) in filter_["Values"]]
    return {"Fleets": fleets}


def _description(region: Region, fleet: EmulatedFleet) -> dict[str, Any]:
    return {
        **fleet.config,
        "FleetId": fleet.id,
        "FleetState": fleet.state,
        "ActivityStatus": fleet.activity,
        "CreateTime": fleet.created_at,
        "FulfilledCapacity": fleet.fulfilled,
        "FulfilledOnDemandCapacity": fleet.fulfilled_on_demand,
        "Tags": tags_of(region, fleet),
    }


def tags_of(region: Region, fleet: EmulatedFleet) -> list[dict[str, str]]:
    """Return a fleet's current tags, after CreateTags and DeleteTags."""
    tags = region.ec2.tags.get(fleet.id, {})
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def describe_fleet_instances(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeFleetInstances."""
    fleet = find(region, params["FleetId"])
    return {"FleetId": fleet.id, "ActiveInstances": active_instances(region, fleet)}


def active_instances(region: Region, fleet: EmulatedFleet) -> list[dict[str, Any]]:
    """Return the live instances of a fleet as in the API of both fleet types."""
    instances = []
    for instance_id in fleet.instances:
        machine = region.machines.get(instance_id)
        if machine is None or not machine.alive:
            continue
        description = {
            "InstanceId": instance_id,
            "InstanceType": machine.instance.instance_type,
            "InstanceHealth": "healthy",
        }
        if instance_id in fleet.spot_requests:
            description["SpotInstanceRequestId"] = fleet.spot_requests[instance_id]
        instances.append(description)
    return instances


def modify_fleet(emulator: EmulatorState, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """ModifyFleet.

    Raises:
        ApiError: The fleet does not have the type `maintain`, or is no longer active.
    """
    fleet = find(region, params["FleetId"])
    if not fleet.keeps or not fleet.open:
        text = f"The fleet '{fleet.id}' in state {fleet.state} cannot be modified"
        raise ApiError("FleetNotInModifiableState", text)
    if "ExcessCapacityTerminationPolicy" in params:
        policy = params["ExcessCapacityTerminationPolicy"]
        fleet.config["ExcessCapacityTerminationPolicy"] = policy
        fleet.terminates_excess = policy == "termination"
    if "LaunchTemplateConfigs" in params:
        fleet.config["LaunchTemplateConfigs"] = params["LaunchTemplateConfigs"]
        fleet.specs = tuple(template_specs(region, params["LaunchTemplateConfigs"]))
    if "TargetCapacitySpecification" in params:
        capacity = {
            **fleet.config["TargetCapacitySpecification"],
            **params["TargetCapacitySpecification"],
        }
        fleet.config["TargetCapacitySpecification"] = capacity
        fleet.target = capacity["TotalTargetCapacity"]
        fleet.on_demand_target = min(on_demand_target(capacity), fleet.target)
    fleet.modify(now())
    return {"Return": True}


def delete_fleets(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DeleteFleets: unknown and already deleted fleets are reported, not raised."""
    deleted, failed = [], []
    for fleet_id in params["FleetIds"]:
        fleet = region.fleets.get(fleet_id)
        if fleet is None or fleet.flavour is not EC2_FLEET:
            failed.append(_deletion_error(fleet_id, "fleetIdDoesNotExist"))
        elif not fleet.open and not fleet.instances:
            failed.append(_deletion_error(fleet_id, "fleetNotInDeletableState"))
        else:
            before = fleet.state
            close(region, fleet, params["TerminateInstances"])
            deleted.append(
                {
                    "FleetId": fleet_id,
                    "PreviousFleetState": before,
                    "CurrentFleetState": fleet.state,
                }
            )
    return {"SuccessfulFleetDeletions": deleted, "UnsuccessfulFleetDeletions": failed}


def _deletion_error(fleet_id: str, code: str) -> dict[str, Any]:
    return {"FleetId": fleet_id, "Error": {"Code": code, "Message": f"{fleet_id}: {code}"}}


def describe_fleet_history(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeFleetHistory."""
    fleet = find(region, params["FleetId"])
    kind = EVENT_FILTERS.get(params.get("EventType", ""))
    return {"FleetId": fleet.id, **history(fleet, {**params, "EventType": kind})}


def history(fleet: EmulatedFleet, params: dict[str, Any]) -> dict[str, Any]:
    """Return the requested part of a fleet's history as in the API of both fleet types."""
    records = [
        event
        for event in fleet.history
        if event["Timestamp"] >= params["StartTime"]
        and params.get("EventType") in (None, event["EventType"])
    ]
    start = int(params.get("NextToken") or 0)
    end = start + params.get("MaxResults", 1000)
    page = {"HistoryRecords": records[start:end], "StartTime": params["StartTime"]}
    if end < len(records):
        return {**page, "NextToken": str(end)}
    return {**page, "LastEvaluatedTime": now()}


ACTIONS = {
    "CreateFleet": create_fleet,
    "DescribeFleets": describe_fleets,
    "DescribeFleetInstances": describe_fleet_instances,
    "ModifyFleet": modify_fleet,
    "DeleteFleets": delete_fleets,
    "DescribeFleetHistory": describe_fleet_history,
}
