"""The machine image: its id, processor, and the minimum size of its volumes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blocks import FleetTemplate
from tasks.runs.run import Run

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

ROOT_DEVICE = "/dev/xvda"  # of Amazon Linux images


@dataclass(frozen=True)
class MachineImage:
    """A machine image, as DescribeImages returns it.

    Attributes:
        id: Its id.
        architecture: Its processor, such as `x86_64`.
        root_device: The device of its root volume.
        gb: GB of each volume's snapshot, by device: the minimum size of the volume.
    """

    id: str
    architecture: str = "x86_64"
    root_device: str = ROOT_DEVICE
    gb: Mapping[str, int] = field(default_factory=dict)


def image_id(run: Run, template: FleetTemplate) -> str:
    """The image id of a fleet template, or AWS's newest image for ECS.

    Amazon ECS Developer Guide, "Retrieving Amazon ECS-optimized Linux AMI metadata".
    """
    if template.image_id:
        return template.image_id
    return run.aws.ssm.get_parameter(Name=template.image_parameter)["Parameter"]["Value"]


def describe(ec2: "EC2Client", ids: Sequence[str]) -> list[MachineImage]:
    """Describe images.

    Raises:
        ClientError: An image does not exist or is not shared with this account; or AWS failed.
    """
    return [_image(image) for image in ec2.describe_images(ImageIds=list(ids))["Images"]]


def _image(image: Any) -> MachineImage:
    return MachineImage(
        id=image["ImageId"],
        architecture=image.get("Architecture", "x86_64"),
        root_device=image.get("RootDeviceName") or ROOT_DEVICE,
        gb={
            device["DeviceName"]: device["Ebs"].get("VolumeSize", 0)
            for device in image.get("BlockDeviceMappings", [])
            if "Ebs" in device
        },
    )
