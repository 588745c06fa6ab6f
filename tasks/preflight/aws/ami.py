"""Checks that the machine image exists, fits the machine types, and fits on its volume."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from blocks import FleetTemplate, RunConfig
from blocks.errors import Problem
from tasks.aws.errors import AwsError, error_code, is_refused
from tasks.fleet.ami import MachineImage, describe, image_id
from tasks.fleet.instance_types import MachineTypes
from tasks.fleet.spot_fleet import data_volume
from tasks.preflight.finding import Finding, Level
from tasks.runs.run import Run

NOT_FOUND_CODES = ("InvalidAMIID", "ParameterNotFound")  # EC2 adds a dot and a detail


@dataclass(frozen=True)
class ImageUse:
    """An image that machines are launched from.

    Attributes:
        where: The file that names it.
        key: The key that names it.
        id: Its id.
        volumes: GB of the machines' volumes, by device; "" is the root device.
    """

    where: str
    key: str
    id: str
    volumes: Mapping[str, int]


def check_images(run: Run, template: FleetTemplate, types: MachineTypes) -> list[Finding]:
    """Check the images of a run's machines."""
    results: list[Finding] = []
    try:
        uses = _image_uses(run, template)
    except AwsError as error:
        return [
            _not_described("fleet template", "image_parameter", template.image_parameter, error)
        ]
    for use in uses:
        try:
            images = describe(run.aws.ec2, [use.id])
        except AwsError as error:
            results.append(_not_described(use.where, use.key, use.id, error))
            continue
        for image in images:
            results += findings(run.config, use, image, _of_template(template, types))
    return results


def _of_template(template: FleetTemplate, types: MachineTypes) -> MachineTypes:
    """Types with the template's processor; the others are a finding of `machine_architecture`."""
    if template.spot_fleet_request is not None:
        return types
    known = (kind for kind in types.known if template.architecture in kind.architectures)
    return replace(types, known=tuple(known))


def findings(
    config: RunConfig, use: ImageUse, image: MachineImage, types: MachineTypes
) -> Iterator[Finding]:
    """How an image does not fit the run (pure).

    Args:
        config: The run config.
        use: How the run uses the image.
        image: The image.
        types: The machine types as AWS describes them.
    """
    others = [kind for kind in types.known if image.architecture not in kind.architectures]
    if others:
        yield Finding(
            "error",
            "machine_image_architecture",
            Problem(
                "run config",
                "machine_type",
                f"does not have the processor of machine image {image.id} ({image.architecture})",
                got=", ".join(kind.name for kind in others),
                remedy=f"Name other types, or another image ({use.key}).",
            ),
        )
    devices = {device or image.root_device: size for device, size in use.volumes.items()}
    for device, size in devices.items():
        least = image.gb.get(device, 0)
        if size < least:
            yield _too_small(config, use, image, device, size, least)


def _too_small(
    config: RunConfig, use: ImageUse, image: MachineImage, device: str, size: int, least: int
) -> Finding:
    has_run_size = size == config.ebs_vol_size
    return Finding(
        "error",
        "volume_below_image",
        Problem(
            "run config" if has_run_size else use.where,
            "ebs_vol_size" if has_run_size else f"BlockDeviceMappings of {device}",
            f"is smaller than the snapshot of machine image {image.id}: no machine can launch",
            got=f"{size} GB",
            allowed=f"at least {least} GB",
            remedy=f"Set it to {least} or more.",
        ),
    )


def _image_uses(run: Run, template: FleetTemplate) -> Sequence[ImageUse]:
    request = template.spot_fleet_request
    size = run.config.ebs_vol_size
    if request is None:
        return [ImageUse("fleet template", "image_id", image_id(run, template), {"": size})]
    distinct = {}
    for specification in request["LaunchSpecifications"]:
        devices = [item for item in specification.get("BlockDeviceMappings", []) if "Ebs" in item]
        last = data_volume(devices)
        sizes = {
            device["DeviceName"]: size if device is last else device["Ebs"]["VolumeSize"]
            for device in devices
            if device is last or "VolumeSize" in device["Ebs"]
        }
        # Volumes with a snapshot of their own do not come from the image.
        own = {device["DeviceName"] for device in devices if "SnapshotId" in device["Ebs"]}
        volumes = {name: gb for name, gb in sizes.items() if name not in own}
        use = ImageUse("fleet file", "ImageId", specification["ImageId"], volumes)
        distinct[use.id, tuple(volumes.items())] = use
    return list(distinct.values())


def _not_described(where: str, key: str, name: str, error: BaseException) -> Finding:
    code = error_code(error) or type(error).__name__
    if code.split(".")[0] in NOT_FOUND_CODES:
        return _finding(
            "error",
            "machine_image_missing",
            where,
            key,
            "is not a machine image that this account can use in this region",
            name,
            "Check the id and the region, or remove image_id to use AWS's newest image.",
        )
    return _finding(
        "warning",
        "machine_image_unknown",
        "AWS credentials" if is_refused(error) else "AWS",
        f"ec2:DescribeImages on {name}",
        "could not check whether the machine image fits",
        code,
        "",
    )


def _finding(
    level: Level, code: str, where: str, key: str, what: str, got: str, remedy: str
) -> Finding:
    return Finding(level, code, Problem(where, key, what, got=got, remedy=remedy))
