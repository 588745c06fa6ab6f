"""Whether the machine image is there, fits the machine types, and fits on its volume."""

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

NOT_THERE = ("InvalidAMIID", "ParameterNotFound")  # with what follows a dot in EC2's codes


@dataclass(frozen=True)
class Wanted:
    """An image that machines are started from.

    Attributes:
        where: What names it.
        key: The key that names it.
        id: Its id.
        volumes: GB of the volumes that it is started with, by device; "" is the root, whatever
            its name.
    """

    where: str
    key: str
    id: str
    volumes: Mapping[str, int]


def look(run: Run, template: FleetTemplate, types: MachineTypes) -> list[Finding]:
    """Look at the images of a run's machines."""
    found: list[Finding] = []
    try:
        wanted = _wanted(run, template)
    except AwsError as error:
        return [
            _not_described("fleet template", "image_parameter", template.image_parameter, error)
        ]
    for one in wanted:
        try:
            images = describe(run.aws.ec2, [one.id])
        except AwsError as error:
            found.append(_not_described(one.where, one.key, one.id, error))
            continue
        for image in images:
            found += findings(run.config, one, image, _not_told_yet(template, types))
    return found


def _not_told_yet(template: FleetTemplate, types: MachineTypes) -> MachineTypes:
    """Those of the processor that the template says; the others are `machine_architecture`."""
    if template.spot_fleet_request is not None:
        return types
    known = (one for one in types.known if template.architecture in one.architectures)
    return replace(types, known=tuple(known))


def findings(
    config: RunConfig, wanted: Wanted, image: MachineImage, types: MachineTypes
) -> Iterator[Finding]:
    """What of an image does not fit (pure).

    Args:
        config: The run config.
        wanted: How the image is used.
        image: The image.
        types: The machine types as AWS describes them.
    """
    others = [one for one in types.known if image.architecture not in one.architectures]
    if others:
        yield Finding(
            "error",
            "machine_image_architecture",
            Problem(
                "run config",
                "machine_type",
                f"has another processor than machine image {image.id} is made for "
                f"({image.architecture})",
                got=", ".join(one.name for one in others),
                remedy=f"Name other types, or another image ({wanted.key}).",
            ),
        )
    devices = {device or image.root_device: size for device, size in wanted.volumes.items()}
    for device, size in devices.items():
        least = image.gb.get(device, 0)
        if size < least:
            yield _too_small(config, wanted, image, device, size, least)


def _too_small(
    config: RunConfig, wanted: Wanted, image: MachineImage, device: str, size: int, least: int
) -> Finding:
    ours = size == config.ebs_vol_size
    return Finding(
        "error",
        "volume_below_image",
        Problem(
            "run config" if ours else wanted.where,
            "ebs_vol_size" if ours else f"BlockDeviceMappings of {device}",
            f"is smaller than the snapshot of machine image {image.id}: EC2 starts no machine",
            got=f"{size} GB",
            allowed=f"at least {least} GB",
            remedy=f"Set it to {least} or more.",
        ),
    )


def _wanted(run: Run, template: FleetTemplate) -> Sequence[Wanted]:
    request = template.spot_fleet_request
    size = run.config.ebs_vol_size
    if request is None:
        return [Wanted("fleet template", "image_id", image_id(run, template), {"": size})]
    found = {}
    for specification in request["LaunchSpecifications"]:
        devices = [one for one in specification.get("BlockDeviceMappings", []) if "Ebs" in one]
        last = data_volume(devices)
        volumes = {
            one["DeviceName"]: size if one is last else one["Ebs"]["VolumeSize"]
            for one in devices
            if one is last or "VolumeSize" in one["Ebs"]
        }
        # What names a snapshot of its own is not made of the image's.
        own = {one["DeviceName"] for one in devices if "SnapshotId" in one["Ebs"]}
        kept = {device: gb for device, gb in volumes.items() if device not in own}
        wanted = Wanted("fleet file", "ImageId", specification["ImageId"], kept)
        found[wanted.id, tuple(kept.items())] = wanted
    return list(found.values())


def _not_described(where: str, key: str, name: str, error: BaseException) -> Finding:
    code = error_code(error) or type(error).__name__
    if code.split(".")[0] in NOT_THERE:
        return _finding(
            "error",
            "machine_image_missing",
            where,
            key,
            "is no machine image of this region that this account may use",
            name,
            "Look at its id and the region, or leave image_id out for AWS's newest.",
        )
    return _finding(
        "warning",
        "machine_image_unknown",
        "AWS credentials" if is_refused(error) else "AWS",
        f"ec2:DescribeImages on {name}",
        "whether the machine image fits could not be looked at",
        code,
        "",
    )


def _finding(
    level: Level, code: str, where: str, key: str, what: str, got: str, remedy: str
) -> Finding:
    return Finding(level, code, Problem(where, key, what, got=got, remedy=remedy))
