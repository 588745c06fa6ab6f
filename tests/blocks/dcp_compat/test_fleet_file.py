"""Fleet files of Distributed-CellProfiler as fleet templates."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dcp_fleet import DCP_FLEET

from blocks.dcp_compat.fleet_file import DcpFleet, read_dcp_fleet
from blocks.dcp_compat.remarks import Kind
from blocks.fleet_template.model import FleetTemplate
from blocks.loading.load import parse_fleet

FILES = Path(__file__).parents[2] / "support" / "dcp_files" / "files"
Change = Callable[[dict[str, Any]], object]


def read(name: str) -> DcpFleet:
    return read_dcp_fleet(json.loads((FILES / name).read_text()), name)


def changed(change: Change) -> dict[str, Any]:
    request = copy.deepcopy(DCP_FLEET)
    change(request)
    return request


def to_fill_in(fleet: DcpFleet) -> list[str]:
    return [remark.key for remark in fleet.remarks if remark.kind is Kind.FILL_IN]


def test_a_file_that_is_filled_in() -> None:
    fleet = read("exampleFleet_us-west-2.json")
    template = FleetTemplate(**fleet.values)
    assert template.subnets == ["subnet-0a1b2c3d4e5f60718"]
    assert template.security_groups == ["sg-0a1b2c3d4e5f60718"]
    assert template.instance_profile == "arn:aws:iam::123456789012:instance-profile/ecsInstanceRole"
    assert (template.key_name, template.image_id) == ("screening", None)
    assert fleet.examples == {"image_id": "ami-0f1e2d3c4b5a69788"}
    assert fleet.assign_ip is True
    assert to_fill_in(fleet) == []


def test_the_example_as_it_comes() -> None:
    fleet = read("exampleFleet_us-east-1.json")
    assert FleetTemplate(**fleet.values) == FleetTemplate(instance_profile="ecsInstanceRole")
    assert to_fill_in(fleet) == [
        "NetworkInterfaces.SubnetId",
        "NetworkInterfaces.Groups",
        "KeyName",
    ]
    assert fleet.examples["subnets"] == ["subnet-WWWWWWWW"]


def test_the_file_itself_is_a_spot_fleet() -> None:
    text = (FILES / "exampleFleet_us-west-2.json").read_text()
    assert parse_fleet(text, "f.json").spot_fleet_request == json.loads(text)


def test_several_launch_specifications_and_subnets_become_one_template() -> None:
    def change(request: dict[str, Any]) -> None:
        other = copy.deepcopy(request["LaunchSpecifications"][0])
        other["NetworkInterfaces"][0]["SubnetId"] = "subnet-2, subnet-1a2b3c4d"
        request["LaunchSpecifications"].append(other)

    fleet = read_dcp_fleet(changed(change), "f.json")
    assert fleet.values["subnets"] == ["subnet-1a2b3c4d", "subnet-2"]
    assert fleet.values["security_groups"] == ["sg-1a2b3c4d"]


def first(request: dict[str, Any]) -> Any:
    return request["LaunchSpecifications"][0]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda r: r.update(OnDemandTargetCapacity=2), "OnDemandTargetCapacity"),
        (lambda r: first(r).update(EbsOptimized=True), "EbsOptimized"),
        (lambda r: first(r).update(Placement={"Tenancy": "dedicated"}), "Placement"),
        (lambda r: first(r)["BlockDeviceMappings"][1]["Ebs"].update(Iops=3000), "Iops"),
        (
            lambda r: first(r)["BlockDeviceMappings"].append(
                {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "snap-1"}}
            ),
            "/dev/sdf",
        ),
        (
            lambda r: first(r)["BlockDeviceMappings"].append(
                {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}
            ),
            "VirtualName",
        ),
        (
            lambda r: first(r)["NetworkInterfaces"][0].update(Ipv6AddressCount=1),
            "Ipv6AddressCount",
        ),
        (
            lambda r: r["LaunchSpecifications"].append(first(r) | {"KeyName": "another"}),
            "differ in KeyName",
        ),
    ],
)
def test_a_file_with_more_in_it_stays_a_spot_fleet(change: Change, cause: str) -> None:
    request = changed(change)
    fleet = read_dcp_fleet(request, "f.json")
    assert FleetTemplate(**fleet.values).spot_fleet_request == request
    assert any(cause in remark.text for remark in fleet.remarks if remark.kind is Kind.DIFFERS)


def test_an_unchanged_spot_fleet_reports_unfilled_values() -> None:
    request = json.loads((FILES / "exampleFleet_us-east-1.json").read_text())
    request["LaunchSpecifications"][0]["EbsOptimized"] = True
    keys = to_fill_in(read_dcp_fleet(request, "f.json"))
    place = "LaunchSpecifications[1]"
    assert keys == [
        "IamFleetRole",
        f"{place}.KeyName",
        f"{place}.IamInstanceProfile.Arn",
        f"{place}.NetworkInterfaces[1].SubnetId",
        f"{place}.NetworkInterfaces[1].Groups[1]",
    ]


@pytest.mark.parametrize("broken", [None, [], "none", [3], [{"NetworkInterfaces": [3]}]])
def test_files_of_another_shape_are_reported(broken: Any) -> None:
    fleet = read_dcp_fleet(DCP_FLEET | {"LaunchSpecifications": broken}, "f.json")
    assert "spot_fleet_request" in fleet.values
    assert to_fill_in(fleet)


def test_without_an_instance_profile_it_is_the_default_s() -> None:
    fleet = read_dcp_fleet(changed(lambda r: first(r).pop("IamInstanceProfile")), "f.json")
    assert FleetTemplate(**fleet.values).instance_profile == FleetTemplate().instance_profile
    assert to_fill_in(fleet) == ["IamInstanceProfile.Arn"]


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value in a document."""
    if not isinstance(value, (dict, list)):
        return
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in inner:
        yield (*above, key)
        yield from places(part, (*above, key))


@pytest.mark.parametrize("place", list(places(DCP_FLEET)), ids=str)
@pytest.mark.parametrize("value", [None, True, 7, "x", [], ["x"], {}, {"a": 1}, ...], ids=repr)
def test_any_value_anywhere_becomes_a_template_or_stays(place: tuple[Any, ...], value: Any) -> None:
    def change(request: dict[str, Any]) -> None:
        *above, last = place
        holder: Any = request
        for key in above:
            holder = holder[key]
        if value is ...:
            del holder[last]
        else:
            holder[last] = value

    request = changed(change)
    values = read_dcp_fleet(request, "f.json").values
    assert values.get("spot_fleet_request", request) == request
