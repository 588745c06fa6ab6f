"""The cost of a run's machines, from the recorded machines and AWS's prices.

Costs without a price are unknown. `tasks.cost.spend` has the cost of a run so far.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from blocks import FleetTemplate
from tasks.cost.amounts import Cost, CostItem, Range, total
from tasks.cost.machine_hours import MachineUsage
from tasks.cost.prices import Prices, prices
from tasks.fleet.ebs_volumes import volumes_of, volumes_usd_per_hour
from tasks.runs import record
from tasks.runs.run import Run

NOT_COUNTED = "S3 and SQS requests, logs, data transfer and public addresses (not counted)"


def cost_of(run: Run, machines: Sequence[MachineUsage]) -> Cost | None:
    """The cost of the run so far.

    Args:
        run: The run.
        machines: All its machines, past and present.

    Returns:
        None if it never had a machine.
    """
    if not machines:
        return None
    volumes = volumes_in(run)
    return cost(machines, prices_of(run, machines, volumes), volumes)


def volumes_in(run: Run) -> dict[str, int]:
    """GB of the volumes of each of the run's machines, by volume type."""
    loaded = record.load(run)
    return volumes_of(run.config, FleetTemplate(**(loaded.fleet if loaded else {})))


def prices_of(run: Run, machines: Sequence[MachineUsage], volumes: Mapping[str, int]) -> Prices:
    """The prices of machines and their volumes while they ran."""
    return prices(
        run,
        sorted({machine.machine_type for machine in machines}),
        sorted(volumes),
        since=min(machine.launched for machine in machines),
        until=max(machine.ended or machine.seen for machine in machines),
        of_requests=False,
    )


def cost(machines: Sequence[MachineUsage], paid: Prices, volumes: Mapping[str, int]) -> Cost:
    """The cost of machines (pure).

    Args:
        machines: The machines.
        paid: Prices while they ran.
        volumes: GB of each machine's volumes, by volume type.
    """
    hours = sum(machine.hours for machine in machines)
    each = [machine_usd(machine, paid) for machine in machines]
    priced = sum(usd for usd in each if usd is not None) if None not in each else None
    disk = volumes_usd_per_hour(volumes, paid.gb_month)
    volume = CostItem("volumes", _exactly(None if disk is None else disk * hours))
    parts = (CostItem("machines", _exactly(priced)), volume)
    unknown = list(paid.unknown)
    if priced is None and paid.spot:
        unknown.append("the price of some machines while they ran")
    listed = [_on_demand_usd(machine, paid) for machine in machines]
    on_demand = sum(usd for usd in listed if usd is not None) if None not in listed else None
    return Cost(
        usd=None if priced is None else total(parts).low,
        machine_hours=hours,
        on_demand_usd=None if on_demand is None else on_demand + total((volume,)).low,
        parts=parts,
        sources=paid.sources,
        unknown=(*unknown, NOT_COUNTED),
    )


def _exactly(usd: float | None) -> Range | None:
    return None if usd is None else Range(usd, usd)


def machine_usd(machine: MachineUsage, paid: Prices) -> float | None:
    """The cost of a machine in USD; None if its price is unknown for part of its time."""
    if machine.free:
        return 0.0
    if not machine.spot:
        return _on_demand_usd(machine, paid)
    steps = paid.steps(machine.machine_type, machine.zone)
    if not steps or steps[0][0] > machine.launched:
        return None
    return sum(hours * usd for hours, usd in paid_hours(machine, steps))


def _on_demand_usd(machine: MachineUsage, paid: Prices) -> float | None:
    usd = paid.on_demand.get(machine.machine_type)
    return None if usd is None else usd * machine.hours


Steps = Sequence[tuple[datetime, float]]


def paid_hours(machine: MachineUsage, steps: Steps) -> Iterator[tuple[float, float]]:
    """Hours of a machine at each price, with that price per hour."""
    end = machine.ended or machine.seen
    ends = [since for since, _ in steps[1:]] + [end]
    for (since, usd), until in zip(steps, ends, strict=False):
        seconds = (min(until, end) - max(since, machine.launched)).total_seconds()
        if seconds > 0:
            yield seconds / 3600, usd


def hours_before(machine: MachineUsage, steps: Steps) -> float:
    """Hours of a machine before the first price."""
    if not steps:
        return machine.hours
    until = min(steps[0][0], machine.ended or machine.seen)
    return max((until - machine.launched).total_seconds(), 0) / 3600
