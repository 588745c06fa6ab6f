"""Launch templates: CreateLaunchTemplate and CreateLaunchTemplateVersion.

EC2 accepts some of these mistakes and reports them only at launch ("Create an Amazon EC2 launch
template": the data are not fully validated). As no launch could succeed, the emulator refuses them
at once. Sources, in the Amazon EC2 API Reference: RequestLaunchTemplateData,
LaunchTemplateEbsBlockDeviceRequest, LaunchTemplateInstanceMetadataOptionsRequest; "Run commands
when you launch an EC2 instance with user data input"; "Tag your Amazon EC2 resources".
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from deployments.local.emulator.guards.parameter_rules.fleets import combination, value
from deployments.local.emulator.guards.parameter_rules.rule import Rule, RuleViolation

# Minimum and maximum in GiB by volume type.
SIZES = {
    "gp2": (1, 16_384),
    "gp3": (1, 65_536),
    "io1": (4, 16_384),
    "io2": (4, 65_536),
    "st1": (125, 16_384),
    "sc1": (125, 16_384),
    "standard": (1, 1024),
}
IOPS = {"gp3": (3000, 80_000), "io1": (100, 64_000), "io2": (100, 256_000)}
THROUGHPUT = (125, 2000)  # MiB per second, gp3 only
HOPS = (1, 64)
USER_DATA_BYTES = 16_384
MOST_TAGS = 50


def create(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """The data of a launch template or one of its versions."""
    data = params.get("LaunchTemplateData", {})
    interfaces = data.get("NetworkInterfaces", [])
    if interfaces and (data.get("SecurityGroupIds") or data.get("SecurityGroups")):
        yield combination(
            "Network interfaces and an instance-level security groups may not be specified on the "
            "same request"
        )
    if len({interface.get("DeviceIndex") for interface in interfaces}) < len(interfaces):
        yield value("Each network interface requires a unique device index")
    if "InstanceType" in data and "InstanceRequirements" in data:
        yield combination("InstanceType and InstanceRequirements exclude each other")
    hops = data.get("MetadataOptions", {}).get("HttpPutResponseHopLimit")
    if hops is not None:
        yield from within("HttpPutResponseHopLimit", hops, HOPS)
    for device in data.get("BlockDeviceMappings", []):
        yield from _volume(device.get("Ebs", {}))
    yield from _user_data(data.get("UserData"))
    yield from tags(params.get("TagSpecifications", []))
    yield from tags(data.get("TagSpecifications", []))


def within(name: str, number: float, limits: tuple[float, float]) -> Iterator[RuleViolation]:
    """A number within limits."""
    if not limits[0] <= number <= limits[1]:
        yield value(f"{name} {number} must be from {limits[0]} to {limits[1]}")


def _volume(ebs: Mapping[str, Any]) -> Iterator[RuleViolation]:
    kind = ebs.get("VolumeType", "gp2")
    if "VolumeSize" in ebs:
        yield from within(f"VolumeSize of {kind}", ebs["VolumeSize"], SIZES[kind])
    if "Iops" in ebs and kind not in IOPS:
        yield combination(f"Iops is not supported for {kind} volumes")
    elif "Iops" in ebs:
        yield from within(f"Iops of {kind}", ebs["Iops"], IOPS[kind])
    elif kind in ("io1", "io2"):
        yield RuleViolation("MissingParameter", f"Iops is required for {kind} volumes")
    if "Throughput" in ebs and kind != "gp3":
        yield combination(f"Throughput is not supported for {kind} volumes")
    elif "Throughput" in ebs:
        yield from within("Throughput", ebs["Throughput"], THROUGHPUT)


def _user_data(encoded: str | None) -> Iterator[RuleViolation]:
    try:
        size = len(base64.b64decode(encoded or "", validate=True))
    except (binascii.Error, ValueError):
        yield RuleViolation("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data")
        return
    if size > USER_DATA_BYTES:
        yield value(f"User data is limited to {USER_DATA_BYTES} bytes")


def tags(specifications: list[Mapping[str, Any]]) -> Iterator[RuleViolation]:
    """Tags of EC2 resources."""
    for specification in specifications:
        tag_list = specification.get("Tags", [])
        keys = [tag.get("Key", "") for tag in tag_list]
        if len(tag_list) > MOST_TAGS:
            yield RuleViolation("TagLimitExceeded", f"A resource has at most {MOST_TAGS} tags")
        if len(set(keys)) < len(keys):
            yield value(f"Duplicate tag key in {sorted(keys)}")
        for tag in tag_list:
            key, text = tag.get("Key", ""), tag.get("Value", "")
            if not 1 <= len(key) <= 127 or len(text) > 255:
                yield value(f"Tag {key!r}: at most 127 characters of key and 255 of value")
            if key.lower().startswith("aws:"):
                yield value(f"Tag key {key!r}: tag keys starting with 'aws:' are reserved")


RULES: dict[str, Rule] = {
    "CreateLaunchTemplate": create,
    "CreateLaunchTemplateVersion": create,
}
