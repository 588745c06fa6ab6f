"""The Spot Fleet actions of the EC2 API."""

from typing import Any

from moto.ec2.utils import convert_tag_spec, parse_user_data

from deployments.local.emulator.core.fleet import (
    REQUEST_CHANGE,
    SPOT_FLEET,
    EmulatedFleet,
    LaunchSpec,
    new_spot_fleet_id,
)
from deployments.local.emulator.core.state import EmulatorState, Region, now
from deployments.local.emulator.ec2.fleet_api import (
    active_instances,
    history,
    rebalancing,
    tags_of,
    template_specs,
)
from deployments.local.emulator.ec2.fleet_reconciler import close
from deployments.local.emulator.protocol.exceptions import ApiError


def request_spot_fleet(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """RequestSpotFleet.

    Raises:
        ApiError: Launch specifications and templates are both present or both missing.
    """
    config = params["SpotFleetRequestConfig"]
    if bool(config.get("LaunchSpecifications")) == bool(config.get("LaunchTemplateConfigs")):
        text = "Exactly one of LaunchSpecifications and LaunchTemplateConfigs must be given"
        raise ApiError("InvalidSpotFleetRequestConfig", text)
    tags = convert_tag_spec(config.get("TagSpecifications", []))
    specs = [
        _launch_spec(launch_specification, config)
        for launch_specification in config.get("LaunchSpecifications", [])
    ]
    specs += template_specs(region, config.get("LaunchTemplateConfigs", []))
    fleet = EmulatedFleet(
        id=new_spot_fleet_id(),
        flavour=SPOT_FLEET,
        config={"Type": "maintain", "AllocationStrategy": "lowestPrice", **config},
        specs=tuple(specs),
        target=config["TargetCapacity"],
        on_demand_target=config.get("OnDemandTargetCapacity", 0),
        keeps=config.get("Type", "maintain") == "maintain",
        diversified=config.get("AllocationStrategy") == "diversified",
        terminates_excess=_terminates(config.get("ExcessCapacityTerminationPolicy")),
        terminates_at_expiry=config.get("TerminateInstancesWithExpiration", False),
        valid_until=config.get("ValidUntil"),
        role=config["IamFleetRole"],
        **rebalancing(config.get("SpotMaintenanceStrategies", {})),
        created_at=now(),
    )
    region.fleets[fleet.id] = fleet
    region.ec2.create_tags([fleet.id], tags.get("spot-fleet-request", {}))
    fleet.record(now(), REQUEST_CHANGE, "submitted")
    return {"SpotFleetRequestId": fleet.id}


def _terminates(policy: str | None) -> bool:
    return (policy or "default").lower() == "default"


def _launch_spec(spec: dict[str, Any], config: dict[str, Any]) -> LaunchSpec:
    interface: dict[str, Any] = next(iter(spec.get("NetworkInterfaces", [])), {})
    groups = [
        security_group["GroupId"]
        for security_group in spec.get("SecurityGroups", [])
        if "GroupId" in security_group
    ]
    subnets = (spec.get("SubnetId") or interface.get("SubnetId") or "").split(",")
    return LaunchSpec(
        image_id=spec.get("ImageId", ""),
        instance_type=spec.get("InstanceType", ""),
        user_data=parse_user_data(spec.get("UserData")),
        subnet_id=subnets[0].strip() or None,
        security_group_ids=tuple(groups or interface.get("Groups") or ()),
        key_name=spec.get("KeyName"),
        instance_profile=spec.get("IamInstanceProfile"),
        block_devices=spec.get("BlockDeviceMappings", ()),
        public_ip=interface.get("AssociatePublicIpAddress"),
        tags=convert_tag_spec(spec.get("TagSpecifications", [])),
        weight=float(spec.get("WeightedCapacity", 1)),
        zone=spec.get("Placement", {}).get("AvailabilityZone"),
        max_price=float(price)
        if (price := spec.get("SpotPrice") or config.get("SpotPrice"))
        else None,
    )


def find(region: Region, request_id: str) -> EmulatedFleet:
    """Return a Spot Fleet.

    Raises:
        ApiError: There is no Spot Fleet with this id.
    """
    fleet = region.fleets.get(request_id)
    if fleet is None or fleet.flavour is not SPOT_FLEET:
        text = f"The spot fleet request ID '{request_id}' does not exist"
        raise ApiError("InvalidSpotFleetRequestId.NotFound", text)
    return fleet


def describe_spot_fleet_requests(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeSpotFleetRequests."""
    ids = params.get("SpotFleetRequestIds") or [
        fleet.id for fleet in region.fleets.values() if fleet.flavour is SPOT_FLEET
    ]
    return {
        "SpotFleetRequestConfigs": [
            _description(region, find(region, fleet_id)) for fleet_id in ids
        ]
    }


def _description(region: Region, fleet: EmulatedFleet) -> dict[str, Any]:
    config = {
        **fleet.config,
        "FulfilledCapacity": fleet.fulfilled,
        "OnDemandFulfilledCapacity": fleet.fulfilled_on_demand,
    }
    return {
        "SpotFleetRequestId": fleet.id,
        "SpotFleetRequestState": fleet.state,
        "SpotFleetRequestConfig": config,
        "ActivityStatus": fleet.activity,
        "CreateTime": fleet.created_at,
        "Tags": tags_of(region, fleet),
    }


def describe_spot_fleet_instances(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeSpotFleetInstances."""
    fleet = find(region, params["SpotFleetRequestId"])
    return {"SpotFleetRequestId": fleet.id, "ActiveInstances": active_instances(region, fleet)}


def modify_spot_fleet_request(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """ModifySpotFleetRequest.

    Raises:
        ApiError: The request does not have the type `maintain`, or is no longer active.
    """
    fleet = find(region, params["SpotFleetRequestId"])
    if not fleet.keeps or not fleet.open:
        text = f"The spot fleet request '{fleet.id}' in state {fleet.state} cannot be modified"
        raise ApiError("InvalidSpotFleetRequestState", text)
    for key in ("TargetCapacity", "OnDemandTargetCapacity", "ExcessCapacityTerminationPolicy"):
        if key in params:
            fleet.config[key] = params[key]
    fleet.target = fleet.config["TargetCapacity"]
    fleet.on_demand_target = min(fleet.config.get("OnDemandTargetCapacity", 0), fleet.target)
    fleet.terminates_excess = _terminates(fleet.config.get("ExcessCapacityTerminationPolicy"))
    fleet.modify(now())
    return {"Return": True}


def cancel_spot_fleet_requests(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """CancelSpotFleetRequests: unknown and already cancelled ones are reported, not raised."""
    cancelled, failed = [], []
    for request_id in params["SpotFleetRequestIds"]:
        fleet = region.fleets.get(request_id)
        if fleet is None or fleet.flavour is not SPOT_FLEET:
            failed.append(_cancel_error(request_id, "fleetRequestIdDoesNotExist"))
        elif not fleet.open and not fleet.instances:
            failed.append(_cancel_error(request_id, "fleetRequestNotInCancellableState"))
        else:
            before = fleet.state
            close(region, fleet, params["TerminateInstances"])
            cancelled.append(
                {
                    "SpotFleetRequestId": request_id,
                    "PreviousSpotFleetRequestState": before,
                    "CurrentSpotFleetRequestState": fleet.state,
                }
            )
    return {"SuccessfulFleetRequests": cancelled, "UnsuccessfulFleetRequests": failed}


def _cancel_error(request_id: str, code: str) -> dict[str, Any]:
    return {
        "SpotFleetRequestId": request_id,
        "Error": {"Code": code, "Message": f"{request_id}: {code}"},
    }


def describe_spot_fleet_request_history(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeSpotFleetRequestHistory."""
    fleet = find(region, params["SpotFleetRequestId"])
    return {"SpotFleetRequestId": fleet.id, **history(fleet, params)}


ACTIONS = {
    "RequestSpotFleet": request_spot_fleet,
    "DescribeSpotFleetRequests": describe_spot_fleet_requests,
    "DescribeSpotFleetInstances": describe_spot_fleet_instances,
    "ModifySpotFleetRequest": modify_spot_fleet_request,
    "CancelSpotFleetRequests": cancel_spot_fleet_requests,
    "DescribeSpotFleetRequestHistory": describe_spot_fleet_request_history,
}
