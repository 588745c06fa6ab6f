"""Machine images of the EC2 API: moto's, and for any other id an image of the user's account."""

import re
from types import SimpleNamespace
from typing import Any

from deployments.local.emulator.core.state import EmulatorState, Region, now
from deployments.local.emulator.protocol.exceptions import ApiError

ID = re.compile(r"ami-([0-9a-f]{8}|[0-9a-f]{17})")
ROOT_GB = {"al2023-ami-ecs": 30}  # by prefix of the name; moto has 15 for all


def describe_images(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeImages, by ids or all.

    Raises:
        ApiError: An id is malformed.
    """
    ids = params.get("ImageIds")
    if not ids:
        return {"Images": [_description(ami) for ami in region.ec2.amis.values()]}
    return {"Images": [_description(_image(region, image_id)) for image_id in ids]}


def _image(region: Region, image_id: str) -> Any:
    if not ID.fullmatch(image_id):
        raise ApiError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}"')
    own = SimpleNamespace(
        id=image_id, name="own", architecture="x86_64", root_device_name="/dev/xvda"
    )
    return region.ec2.amis.get(image_id, own)


def _description(image: Any) -> dict[str, Any]:
    size = next((gb for name, gb in ROOT_GB.items() if (image.name or "").startswith(name)), 8)
    root = image.root_device_name or "/dev/xvda"
    return {
        "ImageId": image.id,
        "Name": image.name,
        "Architecture": image.architecture,
        "State": "available",
        "CreationDate": now(),  # moto requires it
        "RootDeviceName": root,
        "RootDeviceType": "ebs",
        "BlockDeviceMappings": [{"DeviceName": root, "Ebs": {"VolumeSize": size}}],
    }


ACTIONS = {"DescribeImages": describe_images}
