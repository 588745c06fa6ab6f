"""The machines of a run and how long they ran; `tasks.cost.spend` has their cost.

The run's record keeps them in `machines.json`, because AWS forgets a terminated machine within
about an hour. Each poll reads the file. dcp writes it when a machine launches or terminates, and
otherwise every ten minutes, so the end of a machine is known to at least ten minutes.
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


class MachineUsage(BaseModel):
    """A machine of the run.

    Attributes:
        machine_type: Such as `m5.xlarge`.
        zone: Such as `us-east-1a`.
        spot: Whether it is a spot machine.
        launched: Launch time.
        seen: Time of the last poll that found it running.
        ended: Termination time according to AWS, or else `seen`; None while it runs.
        interrupted: Whether AWS interrupted it.
        alarm: Whether its idle alarm may still exist.
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
        """How long it ran, in hours."""
        until = self.ended or self.seen
        return max((until - self.launched).total_seconds(), 0) / 3600

    @property
    def free(self) -> bool:
        """Whether AWS does not charge for it.

        AWS does not charge for Linux machines that it interrupts in their first hour ("Billing for
        interrupted Spot Instances" in the Amazon EC2 User Guide).
        """
        return self.interrupted and self.hours < FREE_WHEN_INTERRUPTED.total_seconds() / 3600


Machines = dict[str, MachineUsage]
_MACHINES = TypeAdapter(Machines)


@dataclass(frozen=True)
class MachineUpdate:
    """The recorded machines before and after a poll.

    Attributes:
        before: As in the record.
        now: As updated by this poll.
    """

    before: Machines
    now: Machines


def observe_machines(run: Run, machines: Collection[str], at: datetime) -> MachineUpdate:
    """The recorded machines of the run, updated by a poll; writes nothing.

    Makes one S3 request. If a machine launched or terminated, it also makes one EC2 request per
    1000 machines.

    Args:
        run: The run.
        machines: The ids of its current machines.
        at: Time of the poll.
    """
    recorded = recorded_machines(run)
    now = frozenset(machines)
    alive = {name for name, machine in recorded.items() if machine.ended is None}
    return MachineUpdate(
        recorded,
        merge_machines(recorded, describe_machines(run, at) if now != alive else {}, now, at),
    )


def with_alarms(machines: Machines) -> frozenset[str]:
    """The terminated machines whose idle alarms may still exist (pure)."""
    return frozenset(name for name, machine in machines.items() if machine.ended and machine.alarm)


def record_machines(
    run: Run, update: MachineUpdate, at: datetime, cleared: Collection[str] = ()
) -> None:
    """Record the run's machines when one launches or terminates, otherwise every ten minutes.

    Args:
        run: The run.
        update: The machines, from `observe_machines`.
        at: Time of the poll.
        cleared: Ids of machines whose alarms have been deleted.
    """
    without_alarm = {name: update.now[name].model_copy(update={"alarm": False}) for name in cleared}
    now = update.now | without_alarm
    newest = max((machine.seen for machine in update.before.values()), default=at)
    late = at - newest >= SEEN_EVERY and any(machine.ended is None for machine in now.values())
    if late or _states(now) != _states(update.before):
        write_machines(run, now)


def record_final_machines(run: Run, at: datetime) -> Machines:
    """Record the final state of the machines of a run that has ended.

    Args:
        run: The run.
        at: The current time.
    """
    recorded = recorded_machines(run)
    now = merge_machines(recorded, describe_machines(run, at), (), at)
    if now != recorded:
        write_machines(run, now)
    return now


def _states(machines: Machines) -> dict[str, tuple[Any, ...]]:
    return {
        name: (machine.ended, machine.interrupted, machine.alarm)
        for name, machine in machines.items()
    }


def recorded_machines(run: Run) -> Machines:
    """The machines in the run's record, by instance id."""
    text = record.read(run, record.MACHINES)
    return _MACHINES.validate_json(text) if text else {}


def merge_machines(
    recorded: Machines, described: Machines, now: Collection[str], at: datetime
) -> Machines:
    """The recorded machines after a poll (pure).

    Args:
        recorded: The machines before the poll.
        described: AWS's description of the run's machines, including recently terminated ones.
        now: The ids of the running machines.
        at: Time of the poll.
    """
    updated = dict(recorded)
    for name, machine in described.items():
        before = recorded.get(name)
        if before is None or before.ended is None or machine.ended is None:
            updated[name] = machine if before is None else _newer(before, machine)
    # EC2 may have a machine that the fleet does not list.
    running = {name for name, machine in described.items() if machine.ended is None} | set(now)
    for name, machine in updated.items():
        if machine.ended is None and name in running:
            updated[name] = machine.model_copy(update={"seen": max(at, machine.seen)})
        elif machine.ended is None:
            # It terminated between polls, and AWS no longer reports when.
            ended = max(machine.seen, machine.launched)
            updated[name] = machine.model_copy(update={"ended": ended})
    return updated


def _newer(before: MachineUsage, machine: MachineUsage) -> MachineUsage:
    changes = {"ended": machine.ended, "interrupted": machine.interrupted}
    if machine.ended is None:
        changes["seen"] = max(before.seen, machine.seen)
    return before.model_copy(update=changes)


def write_machines(run: Run, machines: Machines) -> None:
    """Write the machines into the run's record."""
    record.put(run, record.MACHINES, _MACHINES.dump_json(machines, indent=1).decode())


def describe_machines(run: Run, at: datetime) -> Machines:
    """AWS's description of the run's machines; it drops them an hour after they terminate."""
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


def _machine(instance: Mapping[str, Any], at: datetime) -> MachineUsage:
    launched = instance["LaunchTime"]
    terminated = instance["State"]["Name"] in ("shutting-down", "terminated")
    transition = TRANSITION.search(instance.get("StateTransitionReason", ""))
    ended = datetime.fromisoformat(f"{transition[1]}+00:00") if transition else at
    return MachineUsage(
        machine_type=instance["InstanceType"],
        zone=instance["Placement"]["AvailabilityZone"],
        spot=instance.get("InstanceLifecycle") == "spot",
        launched=launched,
        seen=max(launched, min(ended, at) if terminated else at),
        ended=max(launched, ended) if terminated else None,
        interrupted=instance.get("StateReason", {}).get("Code") == INTERRUPTED,
    )
