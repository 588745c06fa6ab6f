"""What a run has cost so far, for each look at it.

At least what was spent: where a price is missing one is taken that is not lower, and that is said,
since a budget must not be passed because a price is missing.
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
from tasks.cost.machine_hours import Known, Machine, know
from tasks.cost.prices import Prices
from tasks.fleet.ebs_volumes import usd_of
from tasks.runs.run import Run

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

logger = logging.getLogger("prefect.dcp")

PRICES_EVERY = timedelta(minutes=15)  # spot prices change a few times a day
# USD a GB and month that no general purpose volume costs in any region (Amazon EBS pricing).
DEAREST_VOLUME = 0.2


@dataclass(frozen=True)
class Bought:
    """The machines of one type in one zone, bought in one way.

    Attributes:
        machine_type: Such as `m5.xlarge`.
        zone: Such as `us-east-1a`.
        spot: Whether they were bought as spot machines.
        machines: How many there ever were.
        running: How many there are.
        hours: Their hours together.
        usd: What they have cost.
        usd_an_hour: What one costs an hour now.
        bound: What was taken where their price is not known; "" where it is.
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
    """What a run has cost so far.

    Attributes:
        usd: In USD, machines and volumes, at least what was spent; None when it cannot be known
            which machines the run had.
        machine_hours: Hours of all machines together.
        usd_an_hour: What the machines that run cost an hour, with their volumes.
        bought: The machines by type, zone and way of buying.
        volumes_usd: What of it the volumes are.
        bounds: What was taken for prices that are not known, in words.
        known: The machines; for `machine_time.note` after the same poll.
    """

    usd: float | None = None
    machine_hours: float = 0.0
    usd_an_hour: float = 0.0
    bought: tuple[Bought, ...] = ()
    volumes_usd: float = 0.0
    bounds: tuple[str, ...] = ()
    known: Known | None = field(default=None, repr=False, compare=False)


UNKNOWN = Spend()


@dataclass(frozen=True)
class _Tariff:
    """What the machines of a run are paid by, as asked at a time."""

    at: datetime
    types: frozenset[str]
    paid: Prices
    volumes: Mapping[str, int]


# By the client that they were asked with, and the run's place in S3.
_TARIFFS: "WeakKeyDictionary[EC2Client, dict[str, _Tariff]]" = WeakKeyDictionary()


def spent(run: Run, machines: Collection[str], at: datetime) -> Spend:
    """What the run has cost so far.

    Costs a request to S3 at each look; every 15 minutes, and when a new machine type appears, one
    more and those for the prices: a page of spot prices for each 1000 changes, and two of the
    price list; when machines came or went, one to EC2 for each 1000 machines.

    Args:
        run: The run.
        machines: The ids of the machines that it has now.
        at: When that was seen.
    """
    try:
        known = know(run, machines, at)
        tariff = _tariff(run, list(known.now.values()), at) if known.now else None
    except (*AwsError, ValidationError) as error:
        # An unknown cost must not keep the monitor from terminating machines. After that it calls
        # `machine_time.know` again, which raises the same.
        logger.warning("What the run has cost so far is not known: %s", error)
        return UNKNOWN
    if tariff is None:
        return Spend(usd=0.0, known=known)
    return spend(known, tariff.paid, tariff.volumes, run.config.machine_price)


def _tariff(run: Run, machines: Sequence[Machine], at: datetime) -> _Tariff:
    kept = _TARIFFS.setdefault(run.aws.ec2, {})
    place = f"{run.config.aws_bucket}/{run.key('')}"
    types = frozenset(machine.machine_type for machine in machines)
    found = kept.get(place)
    if found is None or not types <= found.types or at - found.at >= PRICES_EVERY:
        volumes = volumes_in(run)
        found = kept[place] = _Tariff(at, types, prices_of(run, machines, volumes), volumes)
    return found


def spend(known: Known, paid: Prices, volumes: Mapping[str, int], machine_price: float) -> Spend:
    """What machines have cost so far, at least (pure).

    A spot machine without a price counts at the on-demand price of its type, and any machine
    without that one at `machine_price`, which a spot price does not exceed.

    Args:
        known: The machines.
        paid: Prices at the time they ran.
        volumes: GB of each machine's volumes, by volume type.
        machine_price: The most that is paid for a spot machine, in USD an hour.
    """
    groups: dict[tuple[str, str, bool], list[Machine]] = {}
    for machine in known.now.values():
        key = (machine.machine_type, machine.zone, machine.spot)
        groups.setdefault(key, []).append(machine)
    bought = tuple(_bought(groups[key], paid, machine_price) for key in sorted(groups))
    hours = sum(one.hours for one in bought)
    disk = usd_of(volumes, {name: DEAREST_VOLUME for name in volumes} | dict(paid.gb_month)) or 0.0
    running = sum(one.running for one in bought)
    bounds = [f"{one.machine_type} in {one.zone}: {one.bound}" for one in bought if one.bound]
    if not volumes.keys() <= paid.gb_month.keys():
        bounds.append(f"volumes: {DEAREST_VOLUME} USD a GB and month")
    return Spend(
        usd=sum(one.usd for one in bought) + disk * hours,
        machine_hours=hours,
        usd_an_hour=sum(one.usd_an_hour * one.running for one in bought) + disk * running,
        bought=bought,
        volumes_usd=disk * hours,
        bounds=tuple(bounds),
        known=known,
    )


def _bought(machines: Sequence[Machine], paid: Prices, machine_price: float) -> Bought:
    first = machines[0]
    listed = paid.on_demand.get(first.machine_type)
    most, name = (
        (machine_price, f"machine_price, {machine_price} USD an hour")
        if listed is None
        else (listed, f"the on-demand price, {listed} USD an hour")
    )
    steps = paid.steps(first.machine_type, first.zone) if first.spot else ()
    usd, unpriced = 0.0, 0.0
    for machine in machines:
        if not machine.free:
            usd += sum(hours * price for hours, price in paid_hours(machine, steps))
            unpriced += hours_before(machine, steps)
    return Bought(
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
