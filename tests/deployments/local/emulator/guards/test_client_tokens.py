"""A repeated request with the same client token creates nothing new."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated_app import App, spot_fleet


def target(machines: int) -> dict[str, Any]:
    return {"TotalTargetCapacity": machines, "DefaultTargetCapacityType": "spot"}


def test_a_fleet_is_made_once(app: App) -> None:
    first = app.fleet(1, ClientToken=app.name)
    template_ref = {"LaunchTemplateName": app.name, "Version": "$Latest"}
    again: dict[str, Any] = {
        "Type": "maintain",
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": template_ref}],
        "ClientToken": app.name,
    }
    same = app.ec2.create_fleet(**again, TargetCapacitySpecification=target(1))
    assert same["FleetId"] == first
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        app.ec2.create_fleet(**again, TargetCapacitySpecification=target(2))
    again["ClientToken"] = f"{app.name}2"
    other = app.ec2.create_fleet(**again, TargetCapacitySpecification=target(1))
    assert other["FleetId"] != first


def test_a_refused_request_keeps_no_token(app: App) -> None:
    template_ref = {"LaunchTemplateName": app.name, "Version": "$Latest"}
    with pytest.raises(ClientError):
        app.ec2.create_fleet(
            Type="maintain",
            LaunchTemplateConfigs=[{"LaunchTemplateSpecification": template_ref}],
            TargetCapacitySpecification=target(1),
            ClientToken=app.name,
        )
    assert app.fleet(1, ClientToken=app.name).startswith("fleet-")


def test_without_a_token_each_is_new(app: App) -> None:
    ids = [spot_fleet(app, 1) for _ in range(2)]
    app.ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=ids, TerminateInstances=True)
    assert len(set(ids)) == 2
