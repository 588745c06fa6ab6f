"""The machines a run has had, and how long; `tasks.cost.spend` has what they cost.

What machines there were lies in the run's record as `machines.json`, since AWS forgets a
terminated machine within an hour or so. It is read at every look, and written when a machine came
or went and otherwise every ten minutes, so that the time of a machine that ends while nobody looks
is known to ten minutes.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from tasks.runs import record
from tasks.runs.run import Run

SEEN_EVERY = timedelta(minutes=10)
FREE_WHEN_INTERRUPTED = timedelta(hours=1)
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
        alarm: Whether its idle alarm may still be there.
    """

    model_config = ConfigDict(frozen=True)

    machine_type: str
    zone: str
    spot: bool
    launched: datetime
    seen: datetime
    ended: datetime | None = None
    interrupted: bool = False
    alarm: bool = True

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


@dataclass(frozen=True)
class Known:
    """What is known of the machines at a look.

    Attributes:
        before: What the record says.
        now: The same with what this look saw.
    """

    before: Machines
    now: Machines


def know(run: Run, machines: Collection[str], at: datetime) -> Known:
    """What is known of the run's machines; nothing is written.

    Costs a request to S3, and only when a machine came or went one to EC2 for each 1000 machines.

    Args:
        run: The run.
        machines: The ids of those that it has now.
        at: When that was seen.
    """
    kept = noted(run)
    now = frozenset(machines)
    alive = {name for name, machine in kept.items() if machine.ended is None}
    return Known(kept, looked(kept, described(run, at) if now != alive else {}, now, at))


def with_alarms(machines: Machines) -> frozenset[str]:
    """The machines that have ended, and whose idle alarms may still exist (pure)."""
    return frozenset(name for name, one in machines.items() if one.ended and one.alarm)


def note(run: Run, known: Known, at: datetime, cleared: Collection[str] = ()) -> None:
    """Write down which machines the run has, if a machine came or went, else every ten minutes.

    Args:
        run: The run.
        known: The machines, from `know`.
        at: Time of the poll.
        cleared: Ids of machines whose alarms have been deleted.
    """
    gone = {name: known.now[name].model_copy(update={"alarm": False}) for name in cleared}
    now = known.now | gone
    newest = max((machine.seen for machine in known.before.values()), default=at)
    late = at - newest >= SEEN_EVERY and any(machine.ended is None for machine in now.values())
    if late or _states(now) != _states(known.before):
        write(run, now)


def settle(run: Run, at: datetime) -> Machines:
    """The machines of a run that has ended, as AWS describes them for the last time; written down.

    Args:
        run: The run.
        at: The time now.
    """
    kept = noted(run)
    now = looked(kept, described(run, at), (), at)
    if now != kept:
        write(run, now)
    return now


def _states(machines: Machines) -> dict[str, tuple[Any, ...]]:
    return {name: (one.ended, one.interrupted, one.alarm) for name, one in machines.items()}


def noted(run: Run) -> Machines:
    """The machines in the run's record, by instance id."""
    text = record.read(run, record.MACHINES)
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
        if before is None or before.ended is None or machine.ended is None:
            found[name] = machine if before is None else _newer(before, machine)
    # A fleet may not list a machine that EC2 has.
    running = {name for name, machine in described.items() if machine.ended is None} | set(now)
    for name, machine in found.items():
        if machine.ended is None and name in running:
            found[name] = machine.model_copy(update={"seen": max(at, machine.seen)})
        elif machine.ended is None:
            # It ended while nobody looked, and AWS no longer says when.
            found[name] = machine.model_copy(update={"ended": max(machine.seen, machine.launched)})
    return found


def _newer(before: Machine, machine: Machine) -> Machine:
    changes = {"ended": machine.ended, "interrupted": machine.interrupted}
    if machine.ended is None:
        changes["seen"] = max(before.seen, machine.seen)
    return before.model_copy(update=changes)


def write(run: Run, machines: Machines) -> None:
    """Write the machines into the run's record."""
    record.put(run, record.MACHINES, _MACHINES.dump_json(machines, indent=1).decode())


def described(run: Run, at: datetime) -> Machines:
    """What AWS tells of the run's machines; it forgets those that ended an hour ago."""
    pages = run.aws.ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": f"tag:{key}", "Values": [value]}
            for key, value in run.names.tags(run.run_id).items()
        ]
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
