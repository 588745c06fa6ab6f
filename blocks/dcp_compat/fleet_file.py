"""Distributed-CellProfiler's fleet file as a fleet template: an EC2 Fleet instead of a Spot Fleet.

A file with keys that DCP's examples do not have stays a Spot Fleet, unchanged. Source: Amazon EC2
API Reference, SpotFleetRequestConfigData; DCP's documentation, "Step 0: Prep".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blocks.dcp_compat.remarks import Kind, Remark
from blocks.fleet_template.model import FleetTemplate
from blocks.fleet_template.spot_fleet_request import refusals_of

# The keys of DCP's fleet files. As in DCP, the run fills in machine types, price, sizes, times and
# user data.
_REQUEST = {
    "AllocationStrategy",
    "IamFleetRole",
    "LaunchSpecifications",
    "SpotPrice",
    "TargetCapacity",
    "TerminateInstancesWithExpiration",
    "Type",
    "ValidFrom",
    "ValidUntil",
}
_SPECIFICATION = {
    "BlockDeviceMappings",
    "IamInstanceProfile",
    "ImageId",
    "InstanceType",
    "KeyName",
    "NetworkInterfaces",
    "SpotPrice",
    "UserData",
}
_DEVICES = {"/dev/xvda", "/dev/xvdcz"}
_DISK = {"DeleteOnTermination", "Encrypted", "SnapshotId", "VolumeSize", "VolumeType"}
_INTERFACE = {
    "AssociatePublicIpAddress",
    "DeleteOnTermination",
    "DeviceIndex",
    "Groups",
    "SubnetId",
}
_ID = re.compile(r"[a-z]+-[0-9a-f]+")
_EXAMPLE_KEY = re.compile(r"your[_-]key[_-]file[_-]name")
_PROFILE_ARN = re.compile(r"arn:[^:]*:iam::(?P<account>[^:]*):instance-profile/(.*/)?(?P<name>.+)")


@dataclass
class DcpFleet:
    """A fleet file as fields of a fleet template.

    Attributes:
        where: Its name.
        values: The fields of the fleet template.
        examples: Fields that are not set, each with the file's value.
        remarks: Keys that differ, are not used, or must be filled in.
        assign_ip: Whether its machines get a public address; None if the file does not say.
    """

    where: str
    values: dict[str, Any] = field(default_factory=dict)
    examples: dict[str, Any] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    assign_ip: bool | None = None

    def add_remark(self, kind: Kind, key: str, text: str) -> None:
        """Add a remark about a key of the file."""
        self.remarks.append(Remark(kind, self.where, key, text))


class _Unlike(Exception):
    """A fleet template cannot express the file; the text names the cause."""


def read_dcp_fleet(request: Mapping[str, Any], where: str) -> DcpFleet:
    """The fleet template for a fleet file.

    Args:
        request: The file's content, a SpotFleetRequestConfig.
        where: Its name.
    """
    fleet = DcpFleet(where)
    try:
        _translate(request, fleet)
    except _Unlike as unlike:
        fleet = DcpFleet(where, {"spot_fleet_request": dict(request)})
        fleet.add_remark(
            Kind.DIFFERS,
            "LaunchSpecifications",
            f"stays an unchanged Spot Fleet, because it has {unlike}. A fleet template requests an "
            "EC2 Fleet, which also chooses by spare capacity.",
        )
        for refusal in refusals_of(request):
            text = str(refusal.at("")).removeprefix(f"{refusal.key}: ")
            fleet.add_remark(Kind.FILL_IN, refusal.key, text)
    return fleet


def _translate(request: Mapping[str, Any], fleet: DcpFleet) -> None:
    _only(request, _REQUEST, "")
    specifications = _list(request.get("LaunchSpecifications"), "LaunchSpecifications")
    if not specifications:
        raise _Unlike("no launch specifications")
    for specification in specifications:
        _only(specification, _SPECIFICATION, "LaunchSpecifications.")
        _check_disks(specification)
    interfaces = [_interface(specification) for specification in specifications]
    _networks(fleet, interfaces)
    _profile(fleet, _same(specifications, "IamInstanceProfile"))
    _key(fleet, _same(specifications, "KeyName"))
    _image(fleet, _same(specifications, "ImageId"))
    fleet.assign_ip = _same(interfaces, "AssociatePublicIpAddress")
    _add_request_remarks(fleet, request)


def _only(values: Any, keys: set[str], place: str) -> None:
    if not isinstance(values, Mapping):
        raise _Unlike(f"no mapping at {place.rstrip('.')}")
    if more := sorted(values.keys() - keys):
        raise _Unlike(" and ".join(f"{place}{key}" for key in more))


def _list(value: Any, place: str) -> list[Any]:
    """An optional list."""
    if value is not None and not isinstance(value, list):
        raise _Unlike(f"no list at {place}")
    return value or []


def _same(values: list[Any], key: str) -> Any:
    """The value that all launch specifications, or all of their interfaces, share."""
    first, *others = [mapping.get(key) for mapping in values]
    if any(other != first for other in others):
        raise _Unlike(f"launch specifications that differ in {key}")
    return first


def _check_disks(specification: Mapping[str, Any]) -> None:
    for device in _list(specification.get("BlockDeviceMappings"), "BlockDeviceMappings"):
        _only(device, {"DeviceName", "Ebs"}, "BlockDeviceMappings.")
        _only(device.get("Ebs"), _DISK, "BlockDeviceMappings.Ebs.")
        if str(device.get("DeviceName")) not in _DEVICES:
            raise _Unlike(f"the disk {device.get('DeviceName')}")


def _interface(specification: Mapping[str, Any]) -> Mapping[str, Any]:
    match specification.get("NetworkInterfaces"):
        case None | []:
            return {}
        case [interface]:
            _only(interface, _INTERFACE, "NetworkInterfaces.")
            return dict(interface)
        case _:
            raise _Unlike("several network interfaces")


def _networks(fleet: DcpFleet, interfaces: list[Mapping[str, Any]]) -> None:
    groups = _list(_same(list(interfaces), "Groups"), "NetworkInterfaces.Groups")
    # SubnetId may hold several subnets, of which EC2 chooses one (RequestSpotFleet, SubnetId).
    text = ",".join(str(i["SubnetId"]) for i in interfaces if i.get("SubnetId"))
    subnets = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for key, ids in (("subnets", subnets), ("security_groups", groups)):
        if ids and all(_ID.fullmatch(str(id_)) for id_ in ids):
            fleet.values[key] = ids
        elif ids:
            fleet.examples[key] = ids
            spelled = "SubnetId" if key == "subnets" else "Groups"
            text = f"is not filled in. Write {key} (default: those of the default VPC)."
            fleet.add_remark(Kind.FILL_IN, f"NetworkInterfaces.{spelled}", text)


def _profile(fleet: DcpFleet, profile: Any) -> None:
    default = FleetTemplate.model_fields["instance_profile"].default
    match profile:
        case {"Name": str(name)}:
            fleet.values["instance_profile"] = name
        case {"Arn": str(arn)} if match := _PROFILE_ARN.fullmatch(arn):
            filled_in = re.fullmatch(r"\d{12}", match["account"])
            fleet.values["instance_profile"] = arn if filled_in else match["name"]
        case _:
            fleet.values["instance_profile"] = default
            text = f"is missing. Machines get the instance profile {default}."
            fleet.add_remark(Kind.FILL_IN, "IamInstanceProfile.Arn", text)


def _key(fleet: DcpFleet, name: Any) -> None:
    if not name:
        return
    if _EXAMPLE_KEY.fullmatch(str(name)):
        fleet.examples["key_name"] = name
        text = "is not filled in. Write key_name if you want to log in to the machines."
        fleet.add_remark(Kind.FILL_IN, "KeyName", text)
    else:
        fleet.values["key_name"] = name


def _image(fleet: DcpFleet, image: Any) -> None:
    if image:
        fleet.examples["image_id"] = image
        fleet.add_remark(
            Kind.DIFFERS,
            "ImageId",
            f"{image} is not used: machines launch from AWS's newest Amazon Linux 2023 for ECS. To "
            "use an image of your own, with a single disk, write image_id.",
        )


def _add_request_remarks(fleet: DcpFleet, request: Mapping[str, Any]) -> None:
    fleet.add_remark(
        Kind.NO_COUNTERPART,
        "IamFleetRole",
        "is not used: an EC2 Fleet uses AWSServiceRoleForEC2Fleet, created once in an account with "
        "aws iam create-service-linked-role --aws-service-name ec2fleet.amazonaws.com",
    )
    strategy = request.get("AllocationStrategy", "lowestPrice")
    fleet.add_remark(
        Kind.DIFFERS,
        "AllocationStrategy",
        f"{strategy} becomes price-capacity-optimized: the cheapest of the machine types with the "
        "most spare capacity, which are interrupted less often.",
    )
    fleet.add_remark(
        Kind.DIFFERS,
        "BlockDeviceMappings",
        "become one encrypted disk of ebs_vol_size GB, which is deleted with its machine.",
    )
