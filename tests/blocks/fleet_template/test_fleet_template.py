import json
from typing import Any

import pytest

from blocks import FleetTemplate
from blocks.errors import ConfigError
from blocks.loading.load import parse_fleet


def dcp_fleet() -> dict[str, Any]:
    """A filled-in fleet file like in Distributed-CellProfiler's documentation."""
    return {
        "IamFleetRole": "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role",
        "AllocationStrategy": "lowestPrice",
        "TerminateInstancesWithExpiration": True,
        "Type": "maintain",
        "LaunchSpecifications": [
            {
                "ImageId": "ami-0123456789abcdef0",
                "KeyName": "lab-key",
                "IamInstanceProfile": {
                    "Arn": "arn:aws:iam::123456789012:instance-profile/ecsInstanceRole"
                },
                "BlockDeviceMappings": [
                    {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-0123456789abcdef0"}},
                    {"DeviceName": "/dev/xvdcz", "Ebs": {"DeleteOnTermination": True}},
                ],
                "NetworkInterfaces": [
                    {
                        "DeviceIndex": 0,
                        "SubnetId": "subnet-0aaa, subnet-0bbb",
                        "Groups": ["sg-0123"],
                        "AssociatePublicIpAddress": True,
                    }
                ],
            }
        ],
    }


def changed(path: list[str | int], value: Any) -> dict[str, Any]:
    fleet = dcp_fleet()
    place: Any = fleet
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return fleet


def test_a_dcp_fleet_file_is_kept_as_it_is() -> None:
    assert parse_fleet(json.dumps(dcp_fleet()), "f.json").spot_fleet_request == dcp_fleet()


SPEC: list[str | int] = ["LaunchSpecifications", 0]


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        (["IamFleetRole"], None, "IamFleetRole"),
        (["IamFleetRole"], "fleet-role", "IamFleetRole"),
        (["IamFleetRole"], "arn:aws:iam::XXXXXXXX:role/fleet", "IamFleetRole"),
        (["LaunchSpecifications"], [], "LaunchSpecifications"),
        (["LaunchSpecifications"], ["x"], "LaunchSpecifications[1]"),
        ([*SPEC, "IamInstanceProfile"], None, "LaunchSpecifications[1].IamInstanceProfile.Arn"),
        ([*SPEC, "ImageId"], None, "LaunchSpecifications[1].ImageId"),
        ([*SPEC, "ImageId"], "ami-...", "LaunchSpecifications[1].ImageId"),
        ([*SPEC, "KeyName"], "your_key_file_name", "LaunchSpecifications[1].KeyName"),
        (
            [*SPEC, "NetworkInterfaces", 0, "SubnetId"],
            "subnet-0aaa, subnet-WWWWWWWW",
            "LaunchSpecifications[1].NetworkInterfaces[1].SubnetId",
        ),
        (
            [*SPEC, "NetworkInterfaces", 0, "Groups"],
            ["sg-ZZZZZZZZZ"],
            "LaunchSpecifications[1].NetworkInterfaces[1].Groups[1]",
        ),
    ],
)
def test_a_dcp_fleet_file_that_is_not_filled_in(
    path: list[str | int], value: Any, key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_fleet(json.dumps(changed(path, value)), "f.json")
    assert [(p.where, p.key) for p in caught.value.problems] == [("f.json", key)]


def test_own_fields_and_a_dcp_fleet_exclude_each_other() -> None:
    text = json.dumps({"spot_fleet_request": dcp_fleet(), "key_name": "k"})
    with pytest.raises(ConfigError) as caught:
        parse_fleet(text, "f.json")
    assert [problem.key for problem in caught.value.problems] == ["key_name"]


def test_everything_is_optional() -> None:
    fleet = FleetTemplate()
    assert fleet.subnets == []
    assert fleet.image_id is None
    assert fleet.instance_profile_specification == {"Name": "ecsInstanceRole"}


@pytest.mark.parametrize(
    ("architecture", "path"),
    [
        ("x86_64", "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"),
        ("arm64", "/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id"),
    ],
)
def test_machine_image_of_each_architecture(architecture: str, path: str) -> None:
    assert parse_fleet(f"architecture: {architecture}", "f.yaml").image_parameter == path


def test_instance_profile_by_arn() -> None:
    arn = "arn:aws:iam::123456789012:instance-profile/x"
    assert FleetTemplate(instance_profile=arn).instance_profile_specification == {"Arn": arn}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("subnets: [subnet-XYZ]", "subnets[1]"),
        ("security_groups: default", "security_groups"),
        ("image_id: al2023", "image_id"),
        ("architecture: arm", "architecture"),
        ("on_demand_base: -1", "on_demand_base"),
        ("subnet: subnet-0a", "subnet"),
    ],
)
def test_wrong_values(text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_fleet(text, "f.yaml")
    assert caught.value.problems[0].key.startswith(key)
