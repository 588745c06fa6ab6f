"""Compares the machines of a run with the account's quotas and the number of jobs."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocks import FleetTemplate
from blocks.errors import Problem
from tasks.aws.errors import AwsError, error_code
from tasks.fleet.instance_types import MachineType, MachineTypes
from tasks.preflight.finding import Finding
from tasks.runs.limits import Limits, containers_needed, machines_needed

if TYPE_CHECKING:
    from mypy_boto3_service_quotas import ServiceQuotasClient

WHERE = "run config"
SERVICE = "ec2"


@dataclass(frozen=True)
class Quota:
    """A vCPU quota of an account in a region.

    Attributes:
        code: Its code in Service Quotas.
        name: Its name in Service Quotas.
    """

    code: str
    name: str


# "Spot Instance quotas" and "On-Demand Instance quotas" in the Amazon EC2 User Guide, whose tables
# link each name to its code.
SPOT: Mapping[str, Quota] = {
    "standard": Quota(
        "L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests"
    ),
    "dl": Quota("L-85EED4F7", "All DL Spot Instance Requests"),
    "f": Quota("L-88CF9481", "All F Spot Instance Requests"),
    "g": Quota("L-3819A6DF", "All G and VT Spot Instance Requests"),
    "inf": Quota("L-B5D1601B", "All Inf Spot Instance Requests"),
    "p": Quota("L-7212CCBC", "All P Spot Instance Requests"),
    "trn": Quota("L-6B0D517C", "All Trn Spot Instance Requests"),
    "x": Quota("L-E3A00192", "All X Spot Instance Requests"),
}
ON_DEMAND: Mapping[str, Quota] = {
    "standard": Quota(
        "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"
    ),
    "dl": Quota("L-6E869C2A", "Running On-Demand DL instances"),
    "f": Quota("L-74FC7D96", "Running On-Demand F instances"),
    "g": Quota("L-DB2E81BA", "Running On-Demand G and VT instances"),
    "inf": Quota("L-1945791B", "Running On-Demand Inf instances"),
    "p": Quota("L-417A185B", "Running On-Demand P instances"),
    "trn": Quota("L-2C3B7624", "Running On-Demand Trn instances"),
    "x": Quota("L-7295265B", "Running On-Demand X instances"),
}
STANDARD = frozenset("acdhimrtz") | {"im", "is"}
SHARED = {"vt": "g"}


def family(machine_type: str) -> str | None:
    """The quota family of a machine type; None if it has no spot quota.

    The letters before the generation determine it (`mac`, `hpc` and `u` have quotas of their own,
    not for spot machines).
    """
    letters = re.match(r"[a-z]+", machine_type)
    if letters is None:
        return None
    name = SHARED.get(letters[0], letters[0])
    if name in SPOT:
        return name
    return "standard" if name in STANDARD else None


@dataclass(frozen=True)
class Demand:
    """Machines that a run requests.

    Attributes:
        spot: Number of spot machines.
        on_demand: Number of on-demand machines.
    """

    spot: int
    on_demand: int = 0

    @property
    def machines(self) -> int:
        """Number of all machines."""
        return self.spot + self.on_demand


def demand(size: Limits, template: FleetTemplate, jobs: int) -> Demand:
    """The machines that a run requests: never more than its jobs can use."""
    machines = machines_needed(containers_needed(jobs, size), size)
    on_demand = 0 if template.spot_fleet_request is not None else template.on_demand(machines)
    return Demand(machines - on_demand, on_demand)


@dataclass(frozen=True)
class QuotaLimit:
    """A quota's value in an account.

    Attributes:
        quota: The quota.
        vcpus: Its value.
    """

    quota: Quota
    vcpus: float


def quotas_of(types: Iterable[MachineType], wanted: Demand) -> list[Quota]:
    """The quotas that limit a run, each once."""
    families = [name for kind in types if (name := family(kind.name))]
    spot = [SPOT[name] for name in families] if wanted.spot else []
    base = [ON_DEMAND[name] for name in families] if wanted.on_demand else []
    return list(dict.fromkeys([*spot, *base]))


def read_quota(service_quotas: "ServiceQuotasClient", quota: Quota) -> QuotaLimit | Finding:
    """The quota's value in this account and region, or a finding if it cannot be read."""
    try:
        answer = service_quotas.get_service_quota(ServiceCode=SERVICE, QuotaCode=quota.code)
    except AwsError as error:
        return Finding(
            "warning",
            "quota_unknown",
            Problem(
                "AWS",
                f"servicequotas:GetServiceQuota on {quota.code}",
                f"could not read the quota {quota.name}",
                got=error_code(error) or type(error).__name__,
                remedy="Check it in the Service Quotas console, or request the permission.",
            ),
        )
    return QuotaLimit(quota, answer["Quota"]["Value"])


def findings(
    size: Limits,
    template: FleetTemplate,
    types: MachineTypes,
    quotas: Iterable[QuotaLimit],
    jobs: int,
) -> Iterator[Finding]:
    """Compare the number of machines with jobs and quotas (pure).

    Args:
        size: The run's size.
        template: The fleet template.
        types: The machine types as AWS describes them.
        quotas: The account's quotas.
        jobs: Number of jobs.
    """
    wanted = demand(size, template, jobs)
    if jobs and wanted.machines < size.machines:
        slots = size.machines * size.tasks_per_machine * size.cores
        machines_text = f"{wanted.machines} machine{'s' if wanted.machines > 1 else ''}"
        yield Finding(
            "note",
            "more_slots_than_jobs",
            Problem(
                WHERE,
                "cluster_machines",
                f"the fleet has {slots} slots for {jobs} job{'s' if jobs > 1 else ''}; dcp will "
                f"request only {machines_text}",
                got=str(size.machines),
                remedy=f"cluster_machines: {wanted.machines} has the same effect.",
            ),
        )
    by_code = {limit.quota.code: limit for limit in quotas}
    for table, machines, key in (
        (SPOT, wanted.spot, "cluster_machines"),
        (ON_DEMAND, wanted.on_demand, "on_demand_base"),
    ):
        yield from _above(table, machines, key, types, by_code)


def _above(
    table: Mapping[str, Quota],
    machines: int,
    key: str,
    types: MachineTypes,
    limits: Mapping[str, QuotaLimit],
) -> Iterator[Finding]:
    by_family: dict[str, list[MachineType]] = {}
    for kind in types.known:
        if name := family(kind.name):
            by_family.setdefault(name, []).append(kind)
    fits = {
        name: limits[table[name].code].vcpus // min(kind.vcpus for kind in members)
        for name, members in by_family.items()
        if table[name].code in limits
    }
    # The fleet may launch all its machines in the family with the most room.
    if not machines or len(fits) < len(by_family) or not fits or machines <= sum(fits.values()):
        return
    most = int(sum(fits.values()))
    details = "; ".join(
        f"{table[name].name} ({table[name].code}): "
        f"{limits[table[name].code].vcpus:g} vCPUs, {int(count)} machines of the smallest type"
        for name, count in fits.items()
    )
    yield Finding(
        "warning" if most else "error",
        "above_quota",
        Problem(
            WHERE if key == "cluster_machines" else "fleet template",
            key,
            f"exceeds the account's vCPU quota in this region, which allows at most {most} such "
            f"machines, fewer while others run: {details}",
            got=str(machines),
            remedy=f"Request a quota increase from AWS, or set {key} to {most}."
            if most
            else "Request a quota increase from AWS, or use machines of another family.",
        ),
    )
