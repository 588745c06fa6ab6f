"""The EBS volumes of a run's machines, and their cost."""

from collections import Counter
from collections.abc import Mapping

from blocks import FleetTemplate, RunConfig

MONTH_HOURS = 30 * 24  # volumes are billed per second, in months of 30 days (Amazon EBS pricing)
TEMPLATE_TYPE = "gp3"  # in dcp's launch template
DEFAULT_TYPE = "gp2"  # of a device without a type (EC2 API Reference, EbsBlockDevice)


def volumes_of(config: RunConfig, template: FleetTemplate) -> dict[str, int]:
    """GB of each machine's volumes, by volume type.

    Args:
        config: The run config.
        template: The fleet template, or a fleet file of Distributed-CellProfiler: its last
            device gets the run config's size, the others keep their own.
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


def volumes_usd_per_hour(sizes: Mapping[str, int], gb_month: Mapping[str, float]) -> float | None:
    """Hourly cost of a machine's volumes; None if a price is unknown."""
    if not sizes.keys() <= gb_month.keys():
        return None
    return sum(size * gb_month[kind] for kind, size in sizes.items()) / MONTH_HOURS
