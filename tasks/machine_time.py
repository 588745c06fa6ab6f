"""The machines a run has had, and what they cost.

What machines there were lies in the run's record as `machines.json`, since AWS forgets a
terminated machine within an hour or so. It is read at every look, and written when a machine came
or went and otherwise every ten minutes, so that the time of a machine that ends while nobody looks
is known to ten minutes.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from blocks import FleetTemplate
from tasks import record
from tasks.money import Cost, Part, Range, total
from tasks.prices import Prices, prices
from tasks.run import Run
from tasks.volumes import usd_of, volumes_of

NAME = "machines.json"
SEEN_EVERY = timedelta(minutes=10)
FREE_WHEN_INTERRUPTED = timedelta(hours=1)
NOT_COUNTED = "S3 and SQS requests, logs, data transfer and public addresses (not counted)"
INTERRUPTED = "Server.SpotInstanceTermination"
# "User initiated (2026-03-01 12:00:00 GMT)" (EC2 API Reference, Instance, StateTransitionReason).
TRANSITION = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


class Machine(BaseModel):
    """A machine of the run.

    Attributes:
        machine_type: Such as `m5.xlarge`.
        zone: Such as `us-east-1a`.
        spot: Whether it was bought as a spot machine.
        launched: When it was launched.
        seen: When it was last seen running.
        ended: When it ended: as AWS says, else when it was last seen; None while it runs.
        interrupted: Whether AWS took it back.
    """

    model_config = ConfigDict(frozen=True)

    machine_type: str
    zone: str
    spot: bool
    launched: datetime
    seen: datetime
    ended: datetime | None = None
    interrupted: bool = False

    @property
    def hours(self) -> float:
        """How long it was there, in hours."""
        until = self.ended or self.seen
        return max((until - self.launched).total_seconds(), 0) / 3600

    @property
    def free(self) -> bool:
        """Whether AWS asks nothing for it.

        Linux machines that AWS interrupts in their first hour ("Billing for interrupted Spot
        Instances" in the Amazon EC2 User Guide).
        """
        return self.interrupted and self.hours < FREE_WHEN_INTERRUPTED.total_seconds() / 3600


Machines = dict[str, Machine]
_MACHINES = TypeAdapter(Machines)


def note(run: Run, machines: Collection[str], at: datetime) -> None:
    """Remember which machines the run has.

    Args:
        run: The run.
        machines: The ids of those that it has now.
        at: When that was seen.
    """
    kept = noted(run)
    now = frozenset(machines)
    alive = {name for name, machine in kept.items() if machine.ended is None}
    newest = max(
        (machine.seen for machine in kept.values()), default=datetime.min.replace(tzinfo=UTC)
    )
    if now == alive and (not alive or at - newest < SEEN_EVERY):
        return
    described = _described(run, at) if now != alive else {}
    _write(run, looked(kept, described, now, at))


def noted(run: Run) -> Machines:
    """The machines in the run's record, by instance id."""
    text = record.read(run, NAME)
    return _MACHINES.validate_json(text) if text else {}


def looked(kept: Machines, described: Machines, now: Collection[str], at: datetime) -> Machines:
    """What is known of the machines after a look (pure).

    Args:
        kept: What was known before.
        described: What AWS tells of the run's machines, those too that ended lately.
        now: The ids of the machines that run.
        at: When the look was.
    """
    found = dict(kept)
    for name, machine in described.items():
        before = kept.get(name)
        if before is None or before.ended is None:
            found[name] = machine if before is None else _newer(before, machine)
    for name in now:
        if name in found and found[name].ended is None:
            found[name] = found[name].model_copy(update={"seen": max(at, found[name].seen)})
    for name, machine in found.items():
        if machine.ended is None and name not in now:
            # It ended while nobody looked, and AWS no longer says when.
            found[name] = machine.model_copy(update={"ended": max(machine.seen, machine.launched)})
    return found


def _newer(before: Machine, machine: Machine) -> Machine:
    changes = {"ended": machine.ended, "interrupted": machine.interrupted}
    if machine.ended is None:
        changes["seen"] = max(before.seen, machine.seen)
    return before.model_copy(update=changes)


def _write(run: Run, machines: Machines) -> None:
    record.put(run, NAME, _MACHINES.dump_json(machines, indent=1).decode())


def _described(run: Run, at: datetime) -> Machines:
    pages = run.aws.ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": f"tag:{key}", "Values": [value]} for key, value in run.tags.items()]
    )
    return {
        instance["InstanceId"]: _machine(instance, at)
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }


def _machine(instance: Mapping[str, Any], at: datetime) -> Machine:
    launched = instance["LaunchTime"]
    gone = instance["State"]["Name"] in ("shutting-down", "terminated")
    said = TRANSITION.search(instance.get("StateTransitionReason", ""))
    ended = datetime.fromisoformat(f"{said[1]}+00:00") if said else at
    return Machine(
        machine_type=instance["InstanceType"],
        zone=instance["Placement"]["AvailabilityZone"],
        spot=instance.get("InstanceLifecycle") == "spot",
        launched=launched,
        seen=max(launched, min(ended, at) if gone else at),
        ended=max(launched, ended) if gone else None,
        interrupted=instance.get("StateReason", {}).get("Code") == INTERRUPTED,
    )


def cost_of(run: Run) -> Cost | None:
    """What the run has cost so far, by the machines that `note` remembered.

    Returns:
        None when the run never had a machine.
    """
    at = datetime.now(UTC)
    kept = noted(run)
    described = _described(run, at)
    if not (kept or described):
        return None
    alive = {name for name, machine in described.items() if machine.ended is None}
    machines = looked(kept, described, alive, at)
    if machines != kept:
        _write(run, machines)
    return cost(list(machines.values()), prices_of(run, list(machines.values())), _volumes(run))


def _volumes(run: Run) -> dict[str, int]:
    kept = record.load(run)
    return volumes_of(run.config, FleetTemplate(**(kept.fleet if kept else {})))


def prices_of(run: Run, machines: Sequence[Machine]) -> Prices:
    """The prices of machines at the time they ran."""
    return prices(
        run,
        sorted({machine.machine_type for machine in machines}),
        sorted(_volumes(run)),
        since=min(machine.launched for machine in machines),
        until=max(machine.ended or machine.seen for machine in machines),
        of_requests=False,
    )


def cost(machines: Sequence[Machine], paid: Prices, volumes: Mapping[str, int]) -> Cost:
    """What machines have cost (pure).

    Args:
        machines: The machines.
        paid: Prices at the time they ran.
        volumes: GB of each machine's volumes, by volume type.
    """
    hours = sum(machine.hours for machine in machines)
    each = [machine_usd(machine, paid) for machine in machines]
    priced = sum(usd for usd in each if usd is not None) if None not in each else None
    disk = usd_of(volumes, paid.gb_month)
    volume = Part("volumes", _exactly(None if disk is None else disk * hours))
    parts = (Part("machines", _exactly(priced)), volume)
    unknown = list(paid.unknown)
    if priced is None and paid.spot:
        unknown.append("the price of some machines at the time they ran")
    bought = [_on_demand_usd(machine, paid) for machine in machines]
    on_demand = sum(usd for usd in bought if usd is not None) if None not in bought else None
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


def machine_usd(machine: Machine, paid: Prices) -> float | None:
    """What a machine has cost, in USD; None when its price is not known for all of its time."""
    if machine.free:
        return 0.0
    if not machine.spot:
        return _on_demand_usd(machine, paid)
    steps = sorted(
        (one.since, one.usd)
        for one in paid.spot
        if (one.machine_type, one.zone) == (machine.machine_type, machine.zone)
    )
    end = machine.ended or machine.seen
    if not steps or steps[0][0] > machine.launched:
        return None
    ends = [since for since, _ in steps[1:]] + [end]
    return sum(
        usd * max((min(until, end) - max(since, machine.launched)).total_seconds(), 0) / 3600
        for (since, usd), until in zip(steps, ends, strict=True)
    )


def _on_demand_usd(machine: Machine, paid: Prices) -> float | None:
    usd = paid.on_demand.get(machine.machine_type)
    return None if usd is None else usd * machine.hours
