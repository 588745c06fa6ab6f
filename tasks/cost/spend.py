"""The cost of a run so far, for each poll.

Never below the real cost: a missing price is replaced by an upper bound, which the report names, so
that a missing price cannot hide an exceeded budget.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from tasks.aws.errors import AwsError
from tasks.cost.machine_cost import hours_before, paid_hours, prices_of, volumes_in
from tasks.cost.machine_hours import MachineUpdate, MachineUsage, observe_machines
from tasks.cost.prices import Prices
from tasks.fleet.ebs_volumes import volumes_usd_per_hour
from tasks.runs.run import Run

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

logger = logging.getLogger("prefect.dcp")

PRICES_EVERY = timedelta(minutes=15)  # spot prices change a few times a day
# USD per GB and month; no general purpose volume costs more in any region (Amazon EBS pricing).
DEAREST_VOLUME = 0.2


@dataclass(frozen=True)
class MachineGroup:
    """The spot or on-demand machines of one type in one zone.

    Attributes:
        machine_type: Such as `m5.xlarge`.
        zone: Such as `us-east-1a`.
        spot: Whether they are spot machines.
        machines: Number of machines so far.
        running: Number of running machines.
        hours: Hours of all of them together.
        usd: Their cost.
        usd_an_hour: Current cost of one machine per hour.
        bound: The upper bound used for an unknown price; "" if the price is known.
    """

    machine_type: str
    zone: str
    spot: bool
    machines: int
    running: int
    hours: float
    usd: float
    usd_an_hour: float
    bound: str = ""


@dataclass(frozen=True)
class Spend:
    """The cost of a run so far.

    Attributes:
        usd: Cost of machines and volumes in USD, never too low; None if the run's machines are
            unknown.
        machine_hours: Hours of all machines together.
        usd_an_hour: Cost of the running machines and their volumes per hour.
        groups: The machines by type, zone, and spot or on demand.
        volumes_usd: The volumes' part of the cost.
        bounds: The upper bounds used for unknown prices, for people.
        machines: The run's machines; for `machine_hours.record_machines` after the same poll.
    """

    usd: float | None = None
    machine_hours: float = 0.0
    usd_an_hour: float = 0.0
    groups: tuple[MachineGroup, ...] = ()
    volumes_usd: float = 0.0
    bounds: tuple[str, ...] = ()
    machines: MachineUpdate | None = field(default=None, repr=False, compare=False)


UNKNOWN = Spend()


@dataclass(frozen=True)
class _Tariff:
    """The prices of a run's machines at one time."""

    at: datetime
    types: frozenset[str]
    paid: Prices
    volumes: Mapping[str, int]


# By EC2 client, and the run's place in S3.
_TARIFFS: "WeakKeyDictionary[EC2Client, dict[str, _Tariff]]" = WeakKeyDictionary()


def spend_so_far(run: Run, machines: Collection[str], at: datetime) -> Spend:
    """The cost of the run so far.

    Makes one S3 request per poll. Every 15 minutes, and for a new machine type, it makes another
    and fetches the prices: a page of spot prices per 1000 changes, and two of the price list. When
    machines launched or terminated, it makes one EC2 request per 1000 machines.

    Args:
        run: The run.
        machines: The ids of its current machines.
        at: Time of the poll.
    """
    try:
        update = observe_machines(run, machines, at)
        tariff = _tariff(run, list(update.now.values()), at) if update.now else None
    except (*AwsError, ValidationError) as error:
        # An unknown cost must not keep the monitor from terminating machines. After that it calls
        # `machine_hours.observe_machines` again, which raises the same.
        logger.warning("Could not determine the cost so far: %s", error)
        return UNKNOWN
    if tariff is None:
        return Spend(usd=0.0, machines=update)
    return spend(update, tariff.paid, tariff.volumes, run.config.machine_price)


def _tariff(run: Run, machines: Sequence[MachineUsage], at: datetime) -> _Tariff:
    cache = _TARIFFS.setdefault(run.aws.ec2, {})
    place = f"{run.config.aws_bucket}/{run.key('')}"
    types = frozenset(machine.machine_type for machine in machines)
    tariff = cache.get(place)
    if tariff is None or not types <= tariff.types or at - tariff.at >= PRICES_EVERY:
        volumes = volumes_in(run)
        tariff = cache[place] = _Tariff(at, types, prices_of(run, machines, volumes), volumes)
    return tariff


def spend(
    update: MachineUpdate, paid: Prices, volumes: Mapping[str, int], machine_price: float
) -> Spend:
    """The cost of machines so far, never too low (pure).

    A spot machine without a price counts at the on-demand price of its type. Without that price
    too, a machine counts at `machine_price`, which no spot price exceeds.

    Args:
        update: The machines.
        paid: Prices while they ran.
        volumes: GB of each machine's volumes, by volume type.
        machine_price: The highest spot price to pay, in USD per hour.
    """
    by_kind: dict[tuple[str, str, bool], list[MachineUsage]] = {}
    for machine in update.now.values():
        key = (machine.machine_type, machine.zone, machine.spot)
        by_kind.setdefault(key, []).append(machine)
    groups = tuple(_group(by_kind[key], paid, machine_price) for key in sorted(by_kind))
    hours = sum(group.hours for group in groups)
    gb_month = {name: DEAREST_VOLUME for name in volumes} | dict(paid.gb_month)
    disk = volumes_usd_per_hour(volumes, gb_month) or 0.0
    running = sum(group.running for group in groups)
    bounds = [
        f"{group.machine_type} in {group.zone}: {group.bound}" for group in groups if group.bound
    ]
    if not volumes.keys() <= paid.gb_month.keys():
        bounds.append(f"volumes: {DEAREST_VOLUME} USD per GB and month")
    return Spend(
        usd=sum(group.usd for group in groups) + disk * hours,
        machine_hours=hours,
        usd_an_hour=sum(group.usd_an_hour * group.running for group in groups) + disk * running,
        groups=groups,
        volumes_usd=disk * hours,
        bounds=tuple(bounds),
        machines=update,
    )


def _group(machines: Sequence[MachineUsage], paid: Prices, machine_price: float) -> MachineGroup:
    first = machines[0]
    listed = paid.on_demand.get(first.machine_type)
    most, name = (
        (machine_price, f"machine_price, {machine_price} USD per hour")
        if listed is None
        else (listed, f"the on-demand price, {listed} USD per hour")
    )
    steps = paid.steps(first.machine_type, first.zone) if first.spot else ()
    usd, unpriced = 0.0, 0.0
    for machine in machines:
        if not machine.free:
            usd += sum(hours * price for hours, price in paid_hours(machine, steps))
            unpriced += hours_before(machine, steps)
    return MachineGroup(
        machine_type=first.machine_type,
        zone=first.zone,
        spot=first.spot,
        machines=len(machines),
        running=sum(1 for machine in machines if machine.ended is None),
        hours=sum(machine.hours for machine in machines),
        usd=usd + unpriced * most,
        usd_an_hour=steps[-1][1] if steps else most,
        bound=name if unpriced and (first.spot or listed is None) else "",
    )
