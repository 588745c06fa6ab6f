"""Fleets maintain their target, scale in by their policy, and record their history."""

import urllib.error
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated_app import App, client_of, spot_fleet
from waiting import wait_for


def fleet_events(app: App, fleet_id: str) -> list[tuple[str, str]]:
    start = datetime.now(UTC) - timedelta(hours=1)
    records = app.ec2.describe_fleet_history(FleetId=fleet_id, StartTime=start)["HistoryRecords"]
    return [(record["EventType"], record["EventInformation"]["EventSubType"]) for record in records]


def spot_events(app: App, request_id: str) -> list[tuple[str, str]]:
    start = datetime.now(UTC) - timedelta(hours=1)
    records = app.ec2.describe_spot_fleet_request_history(
        SpotFleetRequestId=request_id, StartTime=start
    )["HistoryRecords"]
    return [(record["EventType"], record["EventInformation"]["EventSubType"]) for record in records]


def spot_instances(app: App, request_id: str) -> list[str]:
    found = app.ec2.describe_spot_fleet_instances(SpotFleetRequestId=request_id)
    return [active_instance["InstanceId"] for active_instance in found["ActiveInstances"]]


def modify(app: App, fleet_id: str, target: int, policy: str) -> None:
    app.ec2.modify_fleet(
        FleetId=fleet_id,
        ExcessCapacityTerminationPolicy=policy,
        TargetCapacitySpecification={"TotalTargetCapacity": target},
    )
    wait_for(
        lambda: app.ec2.describe_fleets(FleetIds=[fleet_id])["Fleets"][0]["FleetState"] == "active",
        "fleet modified",
    )


def state_of(app: App, instance_id: str) -> str:
    found = app.ec2.describe_instances(InstanceIds=[instance_id])
    name: str = found["Reservations"][0]["Instances"][0]["State"]["Name"]
    return name


def test_fleet_replaces_a_terminated_instance(app: App) -> None:
    fleet = app.fleet(2)
    first = wait_for(lambda: two(app.fleet_instances(fleet)), "two instances")
    app.ec2.terminate_instances(InstanceIds=[first[0]])
    second = wait_for(
        lambda: two(
            [
                fleet_instance
                for fleet_instance in app.fleet_instances(fleet)
                if fleet_instance != first[0]
            ]
        ),
        "replaced",
    )
    assert first[1] in second
    events = fleet_events(app, fleet)
    assert events[0] == ("fleetRequestChange", "submitted")
    assert events.count(("instanceChange", "launched")) == 3
    assert events.count(("instanceChange", "terminated")) == 1


def two(instances: list[str]) -> list[str] | None:
    return instances if len(instances) == 2 else None


def test_fleet_lowered_without_termination_keeps_and_does_not_replace(app: App) -> None:
    fleet = app.fleet(2)
    first = wait_for(lambda: two(app.fleet_instances(fleet)), "two instances")
    modify(app, fleet, 1, "no-termination")
    assert app.fleet_instances(fleet) == first
    app.ec2.terminate_instances(InstanceIds=[first[0]])
    wait_for(lambda: app.fleet_instances(fleet) == [first[1]], "one instance left")
    launched = fleet_events(app, fleet).count(("instanceChange", "launched"))
    assert launched == 2


def test_fleet_lowered_with_termination_ends_the_excess(app: App) -> None:
    fleet = app.fleet(2)
    wait_for(lambda: two(app.fleet_instances(fleet)), "two instances")
    modify(app, fleet, 1, "termination")
    wait_for(lambda: len(app.fleet_instances(fleet)) == 1, "one instance")
    modify(app, fleet, 2, "termination")
    wait_for(lambda: two(app.fleet_instances(fleet)), "grown back")


def test_fleet_passes_tags_and_user_data_on(app: App) -> None:
    fleet = app.fleet(
        1, TagSpecifications=[{"ResourceType": "fleet", "Tags": [{"Key": "a", "Value": "b"}]}]
    )
    [instance] = wait_for(lambda: app.fleet_instances(fleet), "an instance")
    found = app.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert {"Key": "dcp:app", "Value": app.name} in found["Tags"]
    assert found["InstanceLifecycle"] == "spot"
    assert app.ec2.describe_fleets(FleetIds=[fleet])["Fleets"][0]["Tags"] == [
        {"Key": "a", "Value": "b"}
    ]


def test_fleet_launches_its_on_demand_part(app: App) -> None:
    fleet = app.fleet(
        2,
        TargetCapacitySpecification={
            "TotalTargetCapacity": 2,
            "OnDemandTargetCapacity": 1,
            "DefaultTargetCapacityType": "spot",
        },
    )
    instances = wait_for(lambda: two(app.fleet_instances(fleet)), "two instances")
    found = app.ec2.describe_instances(InstanceIds=instances)["Reservations"]
    kinds = [instance.get("InstanceLifecycle") for part in found for instance in part["Instances"]]
    assert sorted(map(str, kinds)) == ["None", "spot"]
    on_demand = next(
        instance["InstanceId"]
        for part in found
        for instance in part["Instances"]
        if "InstanceLifecycle" not in instance
    )
    with pytest.raises(urllib.error.HTTPError, match="409"):
        app.emulator.interrupt(on_demand)


def test_deleted_fleet_terminates_or_leaves_its_instances(app: App) -> None:
    fleet = app.fleet(1)
    [instance] = wait_for(lambda: app.fleet_instances(fleet), "an instance")
    done = app.ec2.delete_fleets(FleetIds=[fleet, "fleet-unknown"], TerminateInstances=False)
    assert [
        successful_fleet_deletion["FleetId"]
        for successful_fleet_deletion in done["SuccessfulFleetDeletions"]
    ] == [fleet]
    [failed] = done["UnsuccessfulFleetDeletions"]
    assert failed["Error"]["Code"] == "fleetIdDoesNotExist"
    assert state_of(app, instance) in ("pending", "running")
    app.ec2.delete_fleets(FleetIds=[fleet], TerminateInstances=True)
    wait_for(lambda: state_of(app, instance) == "terminated", "instance terminated")
    wait_for(
        lambda: app.ec2.describe_fleets(FleetIds=[fleet])["Fleets"][0]["FleetState"] == "deleted",
        "fleet deleted",
    )


def test_expired_fleet_terminates_its_instances(app: App) -> None:
    until = datetime.now(UTC) + timedelta(seconds=2)
    fleet = app.fleet(1, ValidUntil=until, TerminateInstancesWithExpiration=True)
    [instance] = wait_for(lambda: app.fleet_instances(fleet), "an instance")
    wait_for(lambda: state_of(app, instance) == "terminated", "instance terminated")
    assert ("fleetRequestChange", "expired") in fleet_events(app, fleet)
    with pytest.raises(ClientError, match="FleetNotInModifiableState"):
        modify(app, fleet, 1, "termination")


def test_fleet_of_an_unknown_type_reports_it_and_launches_nothing(app: App) -> None:
    fleet = app.fleet(1, instance_type="m9.enormous")
    wait_for(
        lambda: ("error", "spotFleetRequestConfigurationInvalid") in fleet_events(app, fleet),
        "an error in the history",
    )
    found = app.ec2.describe_fleets(FleetIds=[fleet])["Fleets"][0]
    assert found["ActivityStatus"] == "error"
    assert app.fleet_instances(fleet) == []


def test_spot_fleet_is_kept_lowered_and_cancelled(app: App) -> None:
    request = spot_fleet(app, 2)
    first = wait_for(lambda: two(spot_instances(app, request)), "two instances")
    app.ec2.terminate_instances(InstanceIds=[first[0]])
    wait_for(
        lambda: two(
            [
                spot_instance
                for spot_instance in spot_instances(app, request)
                if spot_instance != first[0]
            ]
        ),
        "replaced",
    )
    app.ec2.modify_spot_fleet_request(
        SpotFleetRequestId=request,
        TargetCapacity=1,
        ExcessCapacityTerminationPolicy="noTermination",
    )
    wait_for(
        lambda: ("fleetRequestChange", "modify_succeeded") in spot_events(app, request), "modified"
    )
    assert len(spot_instances(app, request)) == 2
    app.ec2.modify_spot_fleet_request(
        SpotFleetRequestId=request, TargetCapacity=1, ExcessCapacityTerminationPolicy="default"
    )
    [last] = wait_for(
        lambda: found if len(found := spot_instances(app, request)) == 1 else None, "one left"
    )
    app.ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[request], TerminateInstances=True)
    assert state_of(app, last) == "terminated"
    states = app.ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[request])
    [config] = states["SpotFleetRequestConfigs"]
    assert config["SpotFleetRequestState"] in ("cancelled", "cancelled_terminating")
    assert spot_events(app, request)[0] == ("fleetRequestChange", "submitted")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"ImageId": "ami-YOUR_IMAGE"}, "spotFleetRequestConfigurationInvalid"),
        ({"SubnetId": "subnet-SOMETHING"}, "spotFleetRequestConfigurationInvalid"),
        ({"role": "arn:aws:iam::YOUR_ACCOUNT:role/x"}, "iamFleetRoleInvalid"),
    ],
)
def test_spot_fleet_file_with_placeholders_is_an_error(
    app: App, change: dict[str, Any], error: str
) -> None:
    request = spot_fleet(app, 1, **change)
    wait_for(lambda: ("error", error) in spot_events(app, request), "an error in the history")
    assert spot_instances(app, request) == []


def test_user_data_that_is_not_base64_is_refused(app: App) -> None:
    with pytest.raises(ClientError, match="BASE64"):
        spot_fleet(app, 1, UserData="#!/bin/bash\n")


def test_unknown_fleet_is_refused(app: App) -> None:
    with pytest.raises(ClientError, match=r"InvalidFleetId\.NotFound"):
        app.ec2.describe_fleets(FleetIds=["fleet-none"])
    with pytest.raises(ClientError, match=r"InvalidSpotFleetRequestId\.NotFound"):
        app.ec2.describe_spot_fleet_requests(SpotFleetRequestIds=["sfr-none"])


def test_regions_do_not_see_each_other(app: App) -> None:
    fleet = app.fleet(1)
    elsewhere = client_of(app.emulator, "ec2", region="eu-west-1")
    assert fleet not in [fleet["FleetId"] for fleet in elsewhere.describe_fleets()["Fleets"]]


def test_tags_given_later_are_the_fleets_tags(app: App) -> None:
    fleet = app.fleet(0)
    app.ec2.create_tags(Resources=[fleet], Tags=[{"Key": "dcp:run", "Value": "1"}])
    found = app.ec2.describe_fleets(FleetIds=[fleet])["Fleets"][0]
    assert found["Tags"] == [{"Key": "dcp:run", "Value": "1"}]
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        app.ec2.describe_fleets(Filters=[{"Name": "tag:dcp:run", "Values": ["1"]}])
