"""Requests about an existing fleet, and errors of AWS."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from blocks.errors import FleetError
from tasks.fleet.base import BASE_TAG, SHARE_TAG
from tasks.fleet.ec2_fleet import Ec2Fleet
from tasks.fleet.spot_fleet import SpotFleet
from tasks.monitor.policy import Decision
from tasks.monitor.tick import act


@pytest.fixture
def ec2() -> Any:
    return boto3.client(
        "ec2", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )


@pytest.fixture
def stub(ec2: Any) -> Iterator[Stubber]:
    with Stubber(ec2) as stub:
        yield stub
        stub.assert_no_pending_responses()


def expect_fleet(stub: Stubber, base: int = 0, share: int = 0) -> None:
    tags = [{"Key": BASE_TAG, "Value": str(base)}, {"Key": SHARE_TAG, "Value": str(share)}]
    stub.add_response("describe_fleets", {"Fleets": [{"FleetId": "fleet-1", "Tags": tags}]})


@pytest.mark.parametrize(
    ("base", "share", "machines", "on_demand"),
    [(2, 0, 5, 2), (2, 0, 1, 1), (2, 50, 10, 6), (0, 50, 1, 1), (0, 10, 5, 1), (3, 100, 9, 9)],
)
def test_a_resized_fleet_keeps_its_on_demand_share(
    ec2: Any, stub: Stubber, base: int, share: int, machines: int, on_demand: int
) -> None:
    expect_fleet(stub, base, share)
    stub.add_response(
        "modify_fleet",
        {"Return": True},
        {
            "FleetId": "fleet-1",
            "ExcessCapacityTerminationPolicy": "no-termination",
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": machines,
                "OnDemandTargetCapacity": on_demand,
                "SpotTargetCapacity": machines - on_demand,
            },
        },
    )
    Ec2Fleet(ec2, "fleet-1").resize(machines)


@pytest.mark.parametrize(("machines", "on_demand"), [(1, 1), (5, 2)])
def test_a_resized_spot_fleet_keeps_its_on_demand_part(
    ec2: Any, stub: Stubber, machines: int, on_demand: int
) -> None:
    tags = [{"Key": BASE_TAG, "Value": "2"}]
    stub.add_response(
        "describe_spot_fleet_requests",
        {"SpotFleetRequestConfigs": [{"SpotFleetRequestId": "sfr-1", "Tags": tags}]},
    )
    stub.add_response(
        "modify_spot_fleet_request",
        {"Return": True},
        {
            "SpotFleetRequestId": "sfr-1",
            "TargetCapacity": machines,
            "OnDemandTargetCapacity": on_demand,
            "ExcessCapacityTerminationPolicy": "noTermination",
        },
    )
    SpotFleet(ec2, "sfr-1").resize(machines)


def test_machines_reads_all_pages(ec2: Any, stub: Stubber) -> None:
    for fleet, method, key, name in (
        (Ec2Fleet(ec2, "f"), "describe_fleet_instances", "FleetId", "f"),
        (SpotFleet(ec2, "f"), "describe_spot_fleet_instances", "SpotFleetRequestId", "f"),
    ):
        first, last = ({"ActiveInstances": [{"InstanceId": f"i-{n}"}]} for n in (1, 2))
        stub.add_response(method, first | {"NextToken": "2"}, {key: name})
        stub.add_response(method, last, {key: name, "NextToken": "2"})
        assert fleet.machines() == ["i-1", "i-2"]


@pytest.mark.parametrize(
    ("code", "ignored"), [("FleetNotInModifiableState", True), ("UnauthorizedOperation", False)]
)
def test_the_monitor_ignores_a_fleet_that_is_being_modified(
    ec2: Any, stub: Stubber, code: str, ignored: bool
) -> None:
    expect_fleet(stub)
    stub.add_client_error("modify_fleet", code)
    fleet = Ec2Fleet(ec2, "fleet-1")
    run: Any = SimpleNamespace(aws=SimpleNamespace(ec2=ec2))
    if ignored:
        act(run, [fleet], Decision(target=1))
    else:
        with pytest.raises(ec2.exceptions.ClientError):
            act(run, [fleet], Decision(target=1))


def expect_failures(stub: Stubber, ec2_code: str, spot_code: str) -> None:
    stub.add_response(
        "delete_fleets",
        {
            "UnsuccessfulFleetDeletions": [
                {"FleetId": "fleet-1", "Error": {"Code": ec2_code, "Message": "try later"}}
            ]
        },
    )
    stub.add_response(
        "cancel_spot_fleet_requests",
        {
            "UnsuccessfulFleetRequests": [
                {
                    "SpotFleetRequestId": "sfr-1",
                    "Error": {"Code": spot_code, "Message": "try later"},
                }
            ]
        },
    )


def test_a_failed_cancellation_raises(ec2: Any, stub: Stubber) -> None:
    expect_failures(stub, "unexpectedError", "unexpectedError")
    for fleet in (Ec2Fleet(ec2, "fleet-1"), SpotFleet(ec2, "sfr-1")):
        with pytest.raises(FleetError, match="try later"):
            fleet.cancel()


def test_cancelling_an_ended_fleet_does_nothing(ec2: Any, stub: Stubber) -> None:
    expect_failures(stub, "fleetNotInDeletableState", "fleetRequestNotInCancellableState")
    Ec2Fleet(ec2, "fleet-1").cancel()
    SpotFleet(ec2, "sfr-1").cancel()
