"""The machine image exists, and fits machine types and volume."""

import copy
from collections.abc import Callable

import pytest
from dcp_fleet import DCP_FLEET

from blocks import FleetTemplate
from tasks.fleet.ami import MachineImage
from tasks.fleet.instance_types import MachineType, MachineTypes
from tasks.preflight.aws.ami import ImageUse, check_images, findings
from tasks.preflight.finding import Finding
from tasks.runs.run import Run

XLARGE = MachineTypes((MachineType("m5.xlarge", 4, 16_384),))
ARM = MachineTypes((MachineType("m6g.xlarge", 4, 16_384, frozenset({"arm64"})),))
ROOT = {"": 22}


def findings_of(run: Run, use: ImageUse, image: MachineImage) -> dict[str, Finding]:
    return {finding.code: finding for finding in findings(run.config, use, image, XLARGE)}


@pytest.mark.parametrize(
    ("size", "least", "fits"), [(22, 30, False), (30, 30, True), (40, 8, True)]
)
def test_a_volume_is_at_least_as_large_as_the_image(
    run: Run, size: int, least: int, fits: bool
) -> None:
    image = MachineImage("ami-1", root_device="/dev/sda1", gb={"/dev/sda1": least})
    use = ImageUse("fleet template", "image_id", "ami-1", {"": size})
    results = findings_of(run, use, image)
    assert (results == {}) is fits
    if not fits:
        assert results["volume_below_image"].level == "error"
        assert f"{least} GB" in results["volume_below_image"].problem.allowed


def test_an_image_for_another_processor_is_an_error(run: Run) -> None:
    image = MachineImage("ami-1", "arm64")
    results = findings_of(run, ImageUse("fleet file", "ImageId", "ami-1", {}), image)
    assert results["machine_image_architecture"].problem.got == "m5.xlarge"


def test_the_newest_image_is_chosen_by_processor(make_run: Callable[..., Run]) -> None:
    run = make_run(ebs_vol_size=30)
    assert check_images(run, FleetTemplate(), XLARGE) == []
    assert check_images(run, FleetTemplate(architecture="arm64"), ARM) == []
    other = FleetTemplate(architecture="arm64")
    assert check_images(run, other, XLARGE) == [], "machine_architecture reports it"
    (small,) = check_images(make_run(ebs_vol_size=22), FleetTemplate(), XLARGE)
    assert (small.code, small.problem.key) == ("volume_below_image", "ebs_vol_size")


def test_a_missing_image_is_reported(run: Run) -> None:
    (missing,) = check_images(run, FleetTemplate(image_id="ami-12"), XLARGE)
    assert (missing.level, missing.code) == ("error", "machine_image_missing")
    assert missing.problem.got == "ami-12"


def test_the_last_volume_of_a_fleet_file_gets_the_size_of_the_run(
    make_run: Callable[..., Run],
) -> None:
    """With its own snapshot, the root volume is not the image's; without one, it is."""
    run = make_run(ebs_vol_size=22)
    assert check_images(run, FleetTemplate(spot_fleet_request=DCP_FLEET), XLARGE) == []
    alone = copy.deepcopy(DCP_FLEET)
    alone["LaunchSpecifications"][0]["ImageId"] = "ami-05fb4f257abd42992"  # AL2023 for ECS, of moto
    del alone["LaunchSpecifications"][0]["BlockDeviceMappings"][1]
    del alone["LaunchSpecifications"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    (small,) = check_images(run, FleetTemplate(spot_fleet_request=alone), XLARGE)
    assert small.code == "volume_below_image"
