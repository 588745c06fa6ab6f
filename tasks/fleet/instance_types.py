"""EC2 machine types: their resources, and the part that ECS gives to containers."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

CPU_UNITS = 1024
"""CPU units of a vCPU (Amazon ECS API Reference, ContainerDefinition)."""

# The agent registers the memory that the kernel reports, which is less than the machine's (Amazon
# ECS Developer Guide, "Reserving Amazon ECS Linux container instance memory"). The difference
# depends on type and image: 2 % on m4 and c4, 4 to 6 % on m6i and inf1. Karpenter assumes 7.5 %
# ("vmMemoryOverheadPercent").
LEAST_REGISTERED = 0.925
MOST_REGISTERED = 0.98

FILTER_VALUES = 200  # EC2's limit per filter ("Filtering" in the EC2 API Reference)


@dataclass(frozen=True)
class MachineType:
    """A machine type, as DescribeInstanceTypes returns it.

    Attributes:
        name: Such as `m5.xlarge`.
        vcpus: Number of vCPUs, the unit of quotas.
        memory: Nominal memory in MiB.
        architectures: Such as `x86_64`.
        spot: Whether it is available as a spot machine.
    """

    name: str
    vcpus: int
    memory: int
    architectures: frozenset[str] = frozenset({"x86_64"})
    spot: bool = True

    @property
    def cpu_units(self) -> int:
        """CPU units that it registers with ECS."""
        return self.vcpus * CPU_UNITS

    @property
    def registered_memory(self) -> tuple[int, int]:
        """The least and the most memory that it registers with ECS, in MiB."""
        return int(self.memory * LEAST_REGISTERED), int(self.memory * MOST_REGISTERED)

    def holds(self, cpu_units: int, memory: int) -> tuple[int, int]:
        """Number of containers of a size that ECS places on it: at least, and at most.

        ECS places by CPU units and memory; these containers use no ports.

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
        known: The types that the region offers.
        unknown: The other names, each with the nearest offered ones.
    """

    known: tuple[MachineType, ...]
    unknown: Mapping[str, Sequence[str]] = field(default_factory=dict)


def describe(ec2: "EC2Client", names: Sequence[str]) -> MachineTypes:
    """Describe machine types; types that the region does not offer raise no error.

    Raises:
        ClientError: AWS refused or failed.
    """
    known: dict[str, MachineType] = {}
    for start in range(0, len(names), FILTER_VALUES):
        pages = ec2.get_paginator("describe_instance_types").paginate(
            Filters=[
                {"Name": "instance-type", "Values": list(names[start : start + FILTER_VALUES])}
            ]
        )
        known |= {
            description["InstanceType"]: _machine_type(description)
            for page in pages
            for description in page["InstanceTypes"]
        }
    missing = [name for name in names if name not in known]
    offered = _offered(ec2) if missing else []
    return MachineTypes(
        known=tuple(known[name] for name in names if name in known),
        unknown={name: _nearest(name, offered) for name in missing},
    )


def _nearest(name: str, offered: Sequence[str]) -> list[str]:
    """The names with the most similar spelling, else some of the same family."""
    family = name.split(".")[0] + "."
    similar = difflib.get_close_matches(name, offered, n=3)
    return similar or [other for other in offered if other.startswith(family)][:3]


def _machine_type(description: Any) -> MachineType:
    return MachineType(
        name=description["InstanceType"],
        vcpus=description["VCpuInfo"]["DefaultVCpus"],
        memory=description["MemoryInfo"]["SizeInMiB"],
        architectures=frozenset(description["ProcessorInfo"]["SupportedArchitectures"]),
        spot="spot" in description.get("SupportedUsageClasses", ["spot"]),
    )


def _offered(ec2: "EC2Client") -> list[str]:
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="region")
    return sorted(
        offering["InstanceType"] for page in pages for offering in page["InstanceTypeOfferings"]
    )
