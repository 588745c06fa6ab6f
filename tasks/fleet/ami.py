"""The machine image: which one, for which processor, and how large its volumes are at least."""

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
    """A machine image as DescribeImages describes it.

    Attributes:
        id: Its id.
        architecture: The processor it is made for, such as `x86_64`.
        root_device: The device of its root volume.
        gb: GB of the snapshot of each of its volumes, by device: a volume may not be smaller.
    """

    id: str
    architecture: str = "x86_64"
    root_device: str = ROOT_DEVICE
    gb: Mapping[str, int] = field(default_factory=dict)


def image_id(run: Run, template: FleetTemplate) -> str:
    """The id of the image of a fleet template: the one it names, or AWS's newest.

    Amazon ECS Developer Guide, "Retrieving Amazon ECS-optimized Linux AMI metadata".
    """
    if template.image_id:
        return template.image_id
    return run.aws.ssm.get_parameter(Name=template.image_parameter)["Parameter"]["Value"]


def describe(ec2: "EC2Client", ids: Sequence[str]) -> list[MachineImage]:
    """Describe images.

    Raises:
        ClientError: One is not there, or not for this account; AWS refused or failed.
    """
    return [_image(one) for one in ec2.describe_images(ImageIds=list(ids))["Images"]]


def _image(one: Any) -> MachineImage:
    return MachineImage(
        id=one["ImageId"],
        architecture=one.get("Architecture", "x86_64"),
        root_device=one.get("RootDeviceName") or ROOT_DEVICE,
        gb={
            device["DeviceName"]: device["Ebs"].get("VolumeSize", 0)
            for device in one.get("BlockDeviceMappings", [])
            if "Ebs" in device
        },
    )
