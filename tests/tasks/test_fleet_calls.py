"""What is asked of a fleet that exists, and what is made of a refusal."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from blocks.errors import FleetError
from tasks.ec2_fleet import Ec2Fleet
from tasks.monitor import act
from tasks.policy import Decision
from tasks.spot_fleet import SpotFleet


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


def expect_target(stub: Stubber, on_demand: int) -> None:
    capacity = {"TotalTargetCapacity": 9, "OnDemandTargetCapacity": on_demand}
    stub.add_response("describe_fleets", {"Fleets": [{"TargetCapacitySpecification": capacity}]})


@pytest.mark.parametrize(("machines", "on_demand", "spot"), [(5, 2, 3), (1, 1, 0)])
def test_a_smaller_fleet_keeps_its_on_demand_base_as_far_as_it_goes(
    ec2: Any, stub: Stubber, machines: int, on_demand: int, spot: int
) -> None:
    expect_target(stub, on_demand=2)
    stub.add_response(
        "modify_fleet",
        {"Return": True},
        {
            "FleetId": "fleet-1",
            "ExcessCapacityTerminationPolicy": "no-termination",
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": machines,
                "OnDemandTargetCapacity": on_demand,
                "SpotTargetCapacity": spot,
            },
        },
    )
    Ec2Fleet(ec2, "fleet-1").resize(machines)


@pytest.mark.parametrize(
    ("code", "goes_on"), [("FleetNotInModifiableState", True), ("UnauthorizedOperation", False)]
)
def test_a_fleet_that_is_being_modified_is_asked_again_later(
    ec2: Any, stub: Stubber, code: str, goes_on: bool
) -> None:
    expect_target(stub, on_demand=0)
    stub.add_client_error("modify_fleet", code)
    fleet = Ec2Fleet(ec2, "fleet-1")
    run: Any = SimpleNamespace(aws=SimpleNamespace(ec2=ec2))
    if goes_on:
        act(run, [fleet], Decision(target=1))
    else:
        with pytest.raises(ec2.exceptions.ClientError):
            act(run, [fleet], Decision(target=1))


def expect_refusals(stub: Stubber, ec2_code: str, spot_code: str) -> None:
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


def test_a_fleet_that_aws_does_not_end_is_told(ec2: Any, stub: Stubber) -> None:
    expect_refusals(stub, "unexpectedError", "unexpectedError")
    for fleet in (Ec2Fleet(ec2, "fleet-1"), SpotFleet(ec2, "sfr-1")):
        with pytest.raises(FleetError, match="try later"):
            fleet.cancel()


def test_a_fleet_that_has_ended_may_be_cancelled_again(ec2: Any, stub: Stubber) -> None:
    expect_refusals(stub, "fleetNotInDeletableState", "fleetRequestNotInCancellableState")
    Ec2Fleet(ec2, "fleet-1").cancel()
    SpotFleet(ec2, "sfr-1").cancel()
