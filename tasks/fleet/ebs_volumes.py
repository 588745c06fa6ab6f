"""The EBS volumes that each machine of a run has, and what they cost."""

from collections import Counter
from collections.abc import Mapping

from blocks import FleetTemplate, RunConfig

MONTH_HOURS = 30 * 24  # volumes are billed by the second of months of 30 days (Amazon EBS pricing)
TEMPLATE_TYPE = "gp3"  # of the launch template that dcp makes
DEFAULT_TYPE = "gp2"  # of a device that names none (EC2 API Reference, EbsBlockDevice)


def volumes_of(config: RunConfig, template: FleetTemplate) -> dict[str, int]:
    """GB of each machine's volumes, by volume type.

    Args:
        config: The run config.
        template: The fleet template, or a fleet file of Distributed-CellProfiler: its last
            device gets the run config's size, and the others have their own.
    """
    request = template.spot_fleet_request
    if request is None:
        return {TEMPLATE_TYPE: config.ebs_vol_size}
    devices = request["LaunchSpecifications"][0].get("BlockDeviceMappings", [])
    volumes = [device["Ebs"] for device in devices if "Ebs" in device]
    sizes: Counter[str] = Counter()
    for number, volume in enumerate(volumes, 1):
        size = config.ebs_vol_size if number == len(volumes) else volume.get("VolumeSize", 0)
        sizes[volume.get("VolumeType", DEFAULT_TYPE)] += size
    return dict(sizes)


def usd_of(sizes: Mapping[str, int], gb_month: Mapping[str, float]) -> float | None:
    """What the volumes of a machine cost an hour; None when the price of one is not known."""
    if not sizes.keys() <= gb_month.keys():
        return None
    return sum(size * gb_month[kind] for kind, size in sizes.items()) / MONTH_HOURS
