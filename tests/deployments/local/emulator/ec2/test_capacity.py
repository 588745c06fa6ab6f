"""Late, partial or missing capacity; prices, quotas; failing launches."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from emulated_app import IMAGE_ID, ROLE, App
from waiting import wait_for

Chaos = Callable[..., None]
PROGRESS_ERROR = ("error", "allLaunchSpecsTemporarilyBlacklisted")


def template(app: App, *overrides: dict[str, Any]) -> list[dict[str, Any]]:
    template_ref = {"LaunchTemplateName": app.name, "Version": "$Latest"}
    return [{"LaunchTemplateSpecification": template_ref, "Overrides": list(overrides)}]


def machines(app: App, fleet: str, count: int) -> list[str]:
    found: list[str] = wait_for(
        lambda: found if len(found := app.fleet_instances(fleet)) == count else None,
        f"{count} machines",
    )
    return found


def activity(app: App, fleet: str) -> str:
    found: str = app.ec2.describe_fleets(FleetIds=[fleet])["Fleets"][0]["ActivityStatus"]
    return found


def spot_fleet(app: App, target: int, **more: Any) -> str:
    spec = {"ImageId": IMAGE_ID, "InstanceType": "m5.large", "UserData": app.user_data}
    request: str = app.ec2.request_spot_fleet(
        SpotFleetRequestConfig={
            "IamFleetRole": ROLE,
            "TargetCapacity": target,
            "SpotPrice": "0.10",
            "LaunchSpecifications": [spec],
            **more,
        }
    )["SpotFleetRequestId"]
    return request


def test_missing_capacity_is_reported_and_retried(app: App, chaos: Chaos) -> None:
    chaos(no_capacity=["m5.large"])
    fleet = app.fleet(2)
    wait_for(lambda: PROGRESS_ERROR in app.subtypes(fleet), "an error in the history")
    [reported, *_] = [event for event in app.fleet_history(fleet) if event["type"] == "information"]
    assert reported["EventSubType"] == "launchSpecTemporarilyBlacklisted"
    assert "Error Code: InsufficientInstanceCapacity" in reported["EventDescription"]
    assert "m5.large" in reported["EventDescription"]
    assert app.fleet_instances(fleet) == []
    assert activity(app, fleet) == "error"
    chaos(no_capacity=[])
    machines(app, fleet, 2)
    assert activity(app, fleet) == "fulfilled"


def test_a_spot_fleet_reports_the_same(app: App, chaos: Chaos) -> None:
    chaos(no_capacity=["m5.large"])
    request = spot_fleet(app, 1)
    wait_for(lambda: PROGRESS_ERROR in app.subtypes(request), "an error in the history")
    assert ("information", "launchSpecTemporarilyBlacklisted") in app.subtypes(request)
    app.ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[request], TerminateInstances=True)


def test_late_capacity_comes_by_itself(app: App, chaos: Chaos) -> None:
    chaos(late={"m5.large": 1.5})
    fleet = app.fleet(1)
    wait_for(lambda: PROGRESS_ERROR in app.subtypes(fleet), "an error in the history")
    [machine] = machines(app, fleet, 1)
    requested_at = app.ec2.describe_fleets(FleetIds=[fleet])["Fleets"][0]["CreateTime"]
    assert app.instance(machine)["LaunchTime"] - requested_at >= timedelta(
        seconds=0.5
    )  # whole seconds


def test_a_fleet_takes_the_available_machines_of_a_type_and_then_others(
    app: App, chaos: Chaos
) -> None:
    chaos(at_most={"m5.large": 1}, no_capacity=["c5.large"])
    app.fleet(0)
    types = [{"InstanceType": name} for name in ("m5.large", "c5.large", "m5.xlarge")]
    fleet = app.ec2.create_fleet(
        Type="maintain",
        LaunchTemplateConfigs=template(app, *types),
        TargetCapacitySpecification={
            "TotalTargetCapacity": 3,
            "DefaultTargetCapacityType": "spot",
        },
    )["FleetId"]
    found = [app.instance(machine)["InstanceType"] for machine in machines(app, fleet, 3)]
    assert sorted(found) == ["m5.large", "m5.xlarge", "m5.xlarge"]
    assert PROGRESS_ERROR not in app.subtypes(fleet)


def test_a_zone_without_capacity_is_passed_over(app: App, chaos: Chaos) -> None:
    app.fleet(0)
    subnets = [{"SubnetId": f"subnet-{number:017x}"} for number in (0xA1, 0xA2)]

    def started() -> tuple[str, str]:
        fleet: str = app.ec2.create_fleet(
            Type="maintain",
            LaunchTemplateConfigs=template(app, *subnets),
            TargetCapacitySpecification={
                "TotalTargetCapacity": 1,
                "DefaultTargetCapacityType": "spot",
            },
        )["FleetId"]
        [machine] = machines(app, fleet, 1)
        return fleet, app.instance(machine)["Placement"]["AvailabilityZone"]

    _, zone = started()
    chaos(no_capacity=[zone])
    fleet, other = started()
    assert other != zone
    [reported] = [event for event in app.fleet_history(fleet) if event["type"] == "information"]
    assert zone in reported["EventDescription"]


def test_a_price_below_the_spot_price_halts_the_fleet(app: App, chaos: Chaos) -> None:
    chaos(spot_price={"m5.large": 0.2})
    request = spot_fleet(app, 1)
    wait_for(
        lambda: ("information", "fleetProgressHalted") in app.subtypes(request), "a halted fleet"
    )
    reported = [
        event
        for event in app.fleet_history(request)
        if event["EventSubType"] == "launchSpecUnusable"
    ]
    assert "less than Spot market price $0.2000" in reported[0]["EventDescription"]
    assert not {subtype for subtype in app.subtypes(request) if subtype[0] == "error"}
    history = app.ec2.describe_spot_price_history(InstanceTypes=["m5.large"])["SpotPriceHistory"]
    assert {float(price["SpotPrice"]) for price in history} == {0.2}
    chaos(spot_price={})
    wait_for(lambda: ("instanceChange", "launched") in app.subtypes(request), "a machine")
    app.ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[request], TerminateInstances=True)


def test_the_accounts_price_is_the_one_that_holds_now(app: App) -> None:
    now = datetime.now(UTC)
    prices = [("2020-01-01T00:00:00+00:00", 0.01), ((now - timedelta(hours=1)).isoformat(), 0.3)]
    spot = [
        {"machine_type": "m5.large", "zone": "us-east-1a", "at": at, "usd": usd}
        for at, usd in prices
    ]
    app.emulator.set_account(spot=spot)
    app.fleet(0)

    def waits_for(price: str, event: str) -> None:
        fleet = app.ec2.create_fleet(
            LaunchTemplateConfigs=template(app, {"InstanceType": "m5.large", "MaxPrice": price}),
            TargetCapacitySpecification={
                "TotalTargetCapacity": 1,
                "DefaultTargetCapacityType": "spot",
            },
        )["FleetId"]
        wait_for(lambda: event in {sub for _, sub in app.subtypes(fleet)}, event)

    waits_for("0.2", "fleetProgressHalted")
    waits_for("0.4", "launched")


@pytest.mark.parametrize("by_quota", [True, False])
def test_more_vcpus_than_the_quota_are_refused(app: App, chaos: Chaos, by_quota: bool) -> None:
    if by_quota:
        app.emulator.set_account(quotas={"L-34B43A08": 5})
    else:
        chaos(vcpus=5)
    wait_for(
        lambda: (
            not [instance for instance in running(app) if instance["InstanceType"] == "m5.large"]
        ),
        "machines of other tests to be gone",
    )
    fleet = app.fleet(3)
    wait_for(
        lambda: ("error", "spotInstanceCountLimitExceeded") in app.subtypes(fleet), "the error"
    )
    assert len(app.fleet_instances(fleet)) == 2


def running(app: App) -> list[dict[str, Any]]:
    filters = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    reservations = app.ec2.describe_instances(Filters=filters)["Reservations"]
    return [instance for part in reservations for instance in part["Instances"]]


def test_an_instance_that_cannot_start_says_why(app: App, chaos: Chaos) -> None:
    chaos(launch_errors={"Client.VolumeLimitExceeded": 1})
    app.cluster()
    fleet = app.fleet(1)
    first = wait_for(
        lambda: [
            event for event in app.fleet_history(fleet) if event["EventSubType"] == "terminated"
        ],
        "a machine that ends at once",
    )[0]["InstanceId"]
    found = app.instance(first)
    assert found["State"]["Name"] == "terminated"
    assert found["StateReason"] == {
        "Code": "Client.VolumeLimitExceeded",
        "Message": "Client.VolumeLimitExceeded: Volume limit exceeded",
    }
    assert app.hosts() == []
    chaos(launch_errors={})
    wait_for(app.hosts, "the machine that replaces it")


def test_a_refused_launch_is_an_error_of_the_request(app: App, chaos: Chaos) -> None:
    chaos(refused_launches={"InvalidKeyPair.NotFound": 1})
    fleet = app.fleet(1)
    wait_for(
        lambda: ("error", "spotFleetRequestConfigurationInvalid") in app.subtypes(fleet), "error"
    )
    assert activity(app, fleet) == "error"
    chaos(refused_launches={"UnauthorizedOperation": 1})
    app.ec2.modify_fleet(FleetId=fleet, TargetCapacitySpecification={"TotalTargetCapacity": 1})
    wait_for(lambda: PROGRESS_ERROR in app.subtypes(fleet), "an error that may pass")
    chaos(refused_launches={})
    machines(app, fleet, 1)


def test_ended_machines_keep_their_reason_and_time(app: App) -> None:
    fleet = app.fleet(1)
    [machine] = machines(app, fleet, 1)
    app.emulator.interrupt(machine, 0)
    wait_for(lambda: app.instance(machine)["State"]["Name"] == "terminated", "interrupted")
    app.ec2.terminate_instances(InstanceIds=[machine])
    found = app.instance(machine)
    assert found["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert "(" not in found["StateTransitionReason"]
    [other] = machines(app, fleet, 1)
    app.ec2.terminate_instances(InstanceIds=[other])
    assert app.instance(other)["StateTransitionReason"].startswith("User initiated (")
    assert app.instance(other)["StateTransitionReason"].endswith(" GMT)")


def test_the_on_demand_part_is_reported_as_such(app: App, chaos: Chaos) -> None:
    chaos(no_capacity=["m5.large"])
    fleet = app.fleet(
        1,
        TargetCapacitySpecification={
            "TotalTargetCapacity": 1,
            "OnDemandTargetCapacity": 1,
            "DefaultTargetCapacityType": "spot",
        },
    )
    wait_for(lambda: PROGRESS_ERROR in app.subtypes(fleet), "an error in the history")
    [reported, *_] = [event for event in app.fleet_history(fleet) if event["type"] == "information"]
    assert "launching on-demand instance" in reported["EventDescription"]
    assert "sufficient m5.large capacity" in reported["EventDescription"]


def test_a_quota_of_one_kind_does_not_hold_the_other_back(app: App) -> None:
    app.emulator.set_account(quotas={"L-1216C47A": 1})
    fleet = app.fleet(
        3,
        TargetCapacitySpecification={
            "TotalTargetCapacity": 3,
            "OnDemandTargetCapacity": 1,
            "DefaultTargetCapacityType": "spot",
        },
    )
    found = [app.instance(machine)["InstanceLifecycle"] for machine in machines(app, fleet, 2)]
    assert found == ["spot", "spot"]
    wait_for(
        lambda: [
            event
            for event in app.fleet_history(fleet)
            if "VcpuLimit" in event.get("EventDescription", "")
        ],
        "the quota",
    )
    app.emulator.set_account(quotas={})
    machines(app, fleet, 3)


def test_a_history_is_filtered_by_event_type(app: App) -> None:
    fleet = app.fleet(1)
    machines(app, fleet, 1)
    page = app.ec2.describe_fleet_history(
        FleetId=fleet,
        StartTime=datetime.now(UTC) - timedelta(hours=1),
        EventType="instance-change",
    )
    assert {
        history_record["EventInformation"]["EventSubType"]
        for history_record in page["HistoryRecords"]
    } == {"launched"}


def test_price_history_is_filtered_by_time_type_and_zone(app: App) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    ago = [now - timedelta(hours=hours) for hours in (24 * 100, 6, 4, 2)]
    app.emulator.set_account(
        spot=[
            {"machine_type": kind, "zone": zone, "at": at.isoformat(), "usd": number + 1}
            for number, at in enumerate(ago)
            for kind, zone in (("m5.large", "us-east-1a"), ("c5.large", "us-east-1b"))
        ]
    )

    def prices(**filters: Any) -> list[float]:
        parameters = {"InstanceTypes": ["m5.large"], **filters}
        history = app.ec2.describe_spot_price_history(**parameters)["SpotPriceHistory"]
        return [float(price["SpotPrice"]) for price in history]

    assert prices() == [4, 3, 2, 1]
    assert prices(StartTime=now - timedelta(hours=5)) == [4, 3, 2]
    assert prices(StartTime=now - timedelta(hours=5), EndTime=now - timedelta(hours=3)) == [3, 2]
    assert prices(StartTime=now) == [4]
    assert prices(EndTime=now - timedelta(hours=5)) == [2, 1]
    assert prices(AvailabilityZone="us-east-1b") == []
    assert prices(InstanceTypes=["c5.large"], AvailabilityZone="us-east-1b") == [4, 3, 2, 1]
    assert prices(ProductDescriptions=["Windows"]) == []
    zone = [{"Name": "availability-zone", "Values": ["us-east-1a"]}]
    assert prices(InstanceTypes=["m5.large", "c5.large"], Filters=zone) == [4, 3, 2, 1]
