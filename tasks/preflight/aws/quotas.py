"""How many machines the account may have, and how many the jobs can use."""

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
    """A quota of vCPUs of an account in a region.

    Attributes:
        code: Its code in Service Quotas.
        name: As Service Quotas calls it.
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
    """The family of quotas that a machine type counts in; None when it is another.

    The letters before the generation decide (`mac`, `hpc` and `u` have quotas of their own, which
    are not of spot machines).
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
    """Machines that a run asks for.

    Attributes:
        spot: As spot machines.
        on_demand: On demand.
    """

    spot: int
    on_demand: int = 0

    @property
    def machines(self) -> int:
        """All of them."""
        return self.spot + self.on_demand


def demand(size: Limits, template: FleetTemplate, jobs: int) -> Demand:
    """The machines that a run of so many jobs asks for: never more than its jobs can use."""
    machines = machines_needed(containers_needed(jobs, size), size)
    bought = 0 if template.spot_fleet_request is not None else template.on_demand(machines)
    return Demand(machines - bought, bought)


@dataclass(frozen=True)
class Limit:
    """A quota as an account has it.

    Attributes:
        quota: Which.
        vcpus: Its value.
    """

    quota: Quota
    vcpus: float


def quotas_of(types: Iterable[MachineType], asked: Demand) -> list[Quota]:
    """The quotas that a run counts in, each once."""
    families = [name for one in types if (name := family(one.name))]
    spot = [SPOT[name] for name in families] if asked.spot else []
    base = [ON_DEMAND[name] for name in families] if asked.on_demand else []
    return list(dict.fromkeys([*spot, *base]))


def limit(service_quotas: "ServiceQuotasClient", quota: Quota) -> Limit | Finding:
    """The quota's value in this account and region, or why it is not known."""
    try:
        answer = service_quotas.get_service_quota(ServiceCode=SERVICE, QuotaCode=quota.code)
    except AwsError as error:
        return Finding(
            "warning",
            "quota_unknown",
            Problem(
                "AWS",
                f"servicequotas:GetServiceQuota on {quota.code}",
                f"the quota {quota.name} could not be read",
                got=error_code(error) or type(error).__name__,
                remedy="Look it up in the Service Quotas console, or ask for the right.",
            ),
        )
    return Limit(quota, answer["Quota"]["Value"])


def findings(
    size: Limits,
    template: FleetTemplate,
    types: MachineTypes,
    quotas: Iterable[Limit],
    jobs: int,
) -> Iterator[Finding]:
    """What of the number of machines does not fit (pure).

    Args:
        size: The run's size.
        template: The fleet template.
        types: The machine types as AWS describes them.
        quotas: The account's quotas.
        jobs: Jobs of the run.
    """
    asked = demand(size, template, jobs)
    if jobs and asked.machines < size.machines:
        slots = size.machines * size.tasks_per_machine * size.cores
        yield Finding(
            "note",
            "more_slots_than_jobs",
            Problem(
                WHERE,
                "cluster_machines",
                f"there is room for {slots} jobs at a time, and there are {jobs} jobs; "
                f"{asked.machines} machines will be asked for",
                got=str(size.machines),
                remedy=f"cluster_machines: {asked.machines} says the same.",
            ),
        )
    by_code = {one.quota.code: one for one in quotas}
    for table, machines, key in (
        (SPOT, asked.spot, "cluster_machines"),
        (ON_DEMAND, asked.on_demand, "on_demand_base"),
    ):
        yield from _above(table, machines, key, types, by_code)


def _above(
    table: Mapping[str, Quota],
    machines: int,
    key: str,
    types: MachineTypes,
    limits: Mapping[str, Limit],
) -> Iterator[Finding]:
    by_family: dict[str, list[MachineType]] = {}
    for one in types.known:
        if name := family(one.name):
            by_family.setdefault(name, []).append(one)
    fits = {
        name: limits[table[name].code].vcpus // min(one.vcpus for one in members)
        for name, members in by_family.items()
        if table[name].code in limits
    }
    # The fleet may take all its machines of the family with the most room.
    if not machines or len(fits) < len(by_family) or not fits or machines <= sum(fits.values()):
        return
    most = int(sum(fits.values()))
    told = "; ".join(
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
            f"the account may have {most} such machines in this region, and fewer when others "
            f"run: {told}",
            got=f"{machines} machines",
            remedy=f"Ask AWS for a larger quota, or set {key} to {most}."
            if most
            else "Ask AWS for a larger quota, or take machines of another family.",
        ),
    )
