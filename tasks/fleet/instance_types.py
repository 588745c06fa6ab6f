"""EC2 machine types: what they have, and what of it ECS gives to containers."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

CPU_UNITS = 1024
"""CPU units of a vCPU (Amazon ECS API Reference, ContainerDefinition)."""

# The agent registers what the kernel reports, which is less than the machine has: "Reserving
# Amazon ECS Linux container instance memory" in the Amazon ECS Developer Guide. How much less
# differs between types and images: 2 % on m4 and c4, 4 to 6 % on m6i and inf1. Karpenter, which
# must know the same, allows for 7.5 % ("vmMemoryOverheadPercent").
LEAST_REGISTERED = 0.925
MOST_REGISTERED = 0.98

FILTER_VALUES = 200  # the most that EC2 takes in a filter ("Filtering" in the EC2 API Reference)


@dataclass(frozen=True)
class MachineType:
    """A machine type as DescribeInstanceTypes describes it.

    Attributes:
        name: Such as `m5.xlarge`.
        vcpus: Its vCPUs, which quotas count in.
        memory: Memory that it is sold with, in MiB.
        architectures: Such as `x86_64`.
        spot: Whether it can be had as a spot machine.
    """

    name: str
    vcpus: int
    memory: int
    architectures: frozenset[str] = frozenset({"x86_64"})
    spot: bool = True

    @property
    def cpu_units(self) -> int:
        """CPU units that the machine registers with ECS."""
        return self.vcpus * CPU_UNITS

    @property
    def registered_memory(self) -> tuple[int, int]:
        """The least and the most memory that it registers with ECS, in MiB."""
        return int(self.memory * LEAST_REGISTERED), int(self.memory * MOST_REGISTERED)

    def holds(self, cpu_units: int, memory: int) -> tuple[int, int]:
        """How many containers of a size ECS places on it: surely, and at most.

        ECS places by CPU units and memory; no ports are asked for here, so none limit it.

        Args:
            cpu_units: CPU units of a container.
            memory: Memory of a container, in MiB (Docker's "MB" of a task definition).
        """
        by_cpu = self.cpu_units // cpu_units
        least, most = (registered // memory for registered in self.registered_memory)
        return min(by_cpu, least), min(by_cpu, most)


@dataclass(frozen=True)
class MachineTypes:
    """The machine types of a run.

    Attributes:
        known: Those that the region offers.
        unknown: The others, each with the nearest names that the region offers.
    """

    known: tuple[MachineType, ...]
    unknown: Mapping[str, Sequence[str]] = field(default_factory=dict)


def describe(ec2: "EC2Client", names: Sequence[str]) -> MachineTypes:
    """Describe machine types; one that the region does not have is named, not raised.

    Raises:
        ClientError: AWS refused or failed.
    """
    found: dict[str, MachineType] = {}
    for start in range(0, len(names), FILTER_VALUES):
        pages = ec2.get_paginator("describe_instance_types").paginate(
            Filters=[
                {"Name": "instance-type", "Values": list(names[start : start + FILTER_VALUES])}
            ]
        )
        found |= {
            one["InstanceType"]: _machine_type(one)
            for page in pages
            for one in page["InstanceTypes"]
        }
    missing = [name for name in names if name not in found]
    offered = _offered(ec2) if missing else []
    return MachineTypes(
        known=tuple(found[name] for name in names if name in found),
        unknown={name: _nearest(name, offered) for name in missing},
    )


def _nearest(name: str, offered: Sequence[str]) -> list[str]:
    """The names that are spelled most alike, else some of the same family."""
    family = name.split(".")[0] + "."
    alike = difflib.get_close_matches(name, offered, n=3)
    return alike or [one for one in offered if one.startswith(family)][:3]


def _machine_type(one: Any) -> MachineType:
    return MachineType(
        name=one["InstanceType"],
        vcpus=one["VCpuInfo"]["DefaultVCpus"],
        memory=one["MemoryInfo"]["SizeInMiB"],
        architectures=frozenset(one["ProcessorInfo"]["SupportedArchitectures"]),
        spot="spot" in one.get("SupportedUsageClasses", ["spot"]),
    )


def _offered(ec2: "EC2Client") -> list[str]:
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="region")
    return sorted(one["InstanceType"] for page in pages for one in page["InstanceTypeOfferings"])
