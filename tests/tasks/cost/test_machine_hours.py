"""The machines of a run, recorded between polls."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paid_machines import START, at, counted, machine, run_with_machines
from pydantic import ValidationError
from recorded_run import config_at, new_run

import tasks.monitor.tick
from deployments.local.emulator_client import Emulator
from tasks.cost.machine_hours import (
    Machines,
    merge_machines,
    observe_machines,
    record_machines,
    recorded_machines,
)
from tasks.fleet.find import find_fleets
from tasks.monitor.policy import Decision
from tasks.monitor.tick import clear_alarms
from tasks.resources.cpu_alarms import alarm_names
from tasks.runs import record
from tasks.runs.run import Run

NAMES = [f"i-{number}" for number in range(4)]


@pytest.fixture
def emulator(switched: Emulator) -> Emulator:
    """Tests of this module change settings of the whole account."""
    return switched


@given(st.lists(st.tuples(st.sets(st.sampled_from(NAMES)), st.integers(1, 60)), min_size=1))
def test_a_machine_is_billed_from_its_launch_to_the_last_poll_that_found_it(
    polls: list[tuple[set[str], int]],
) -> None:
    """For any launches and terminations, while AWS forgets terminated machines at once."""
    machines: Machines = {}
    ended_names: set[str] = set()
    time = START
    first: dict[str, datetime] = {}
    last: dict[str, datetime] = {}
    for present, minutes in polls:
        time += timedelta(minutes=minutes)
        now = present - ended_names
        described = {
            name: machine(0, launched=first.setdefault(name, time), seen=time, ended=None)
            for name in now
        }
        machines = merge_machines(machines, described, now, time)
        last |= dict.fromkeys(now, time)
        ended_names |= machines.keys() - now
    assert machines.keys() == first.keys()
    for name, state in machines.items():
        assert (state.launched, state.seen) == (first[name], last[name])
        assert state.ended == (last[name] if name in ended_names else None)
        assert state.hours == (last[name] - first[name]).total_seconds() / 3600


def test_the_termination_time_is_the_one_that_aws_reports() -> None:
    recorded = {"i-0": machine(1, ended=None)}
    described = {"i-0": machine(1.5, interrupted=True)}
    result = merge_machines(recorded, described, (), at(3))["i-0"]
    assert (result.ended, result.interrupted) == (at(1.5), True)


def test_a_machine_missing_from_its_fleet_counts_as_running_while_ec2_says_so() -> None:
    running = machine(0, launched=at(0), seen=at(2), ended=None)
    result = merge_machines({"i-0": machine(1, ended=None)}, {"i-0": running}, (), at(2))["i-0"]
    assert (result.ended, result.seen) == (None, at(2))
    presumed_ended = {"i-0": machine(1)}
    again = merge_machines(presumed_ended, {"i-0": running}, {"i-0"}, at(2))["i-0"]
    assert (again.ended, again.seen) == (None, at(2))


def lower(run: Run, machines: int) -> None:
    """Keep the fleet from replacing a machine, which would launch another one."""
    for fleet in find_fleets(run):
        fleet.resize(machines)


def poll(run: Run, machines: list[str], at: datetime) -> None:
    """The monitor's handling of a run's machines at each poll."""
    update = observe_machines(run, machines, at)
    record_machines(run, update, at, cleared=clear_alarms(run, update.now))


def test_machines_are_recorded_when_they_launch_and_terminate(emulator: Emulator) -> None:
    run, machines = run_with_machines(emulator, "Noted", 2)
    now = datetime.now(UTC)
    poll(run, machines, now)
    assert recorded_machines(run).keys() == set(machines)
    text = record.read(run, "machines.json")
    with counted(run) as calls:
        poll(run, machines, now + timedelta(minutes=5))
    assert calls == {"GetObject": 1}, "without a change, there are no other requests"
    assert record.read(run, "machines.json") == text
    poll(run, machines, now + timedelta(minutes=11))
    assert {machine.seen for machine in recorded_machines(run).values()} == {
        now + timedelta(minutes=11)
    }
    lower(run, 1)
    run.aws.ec2.terminate_instances(InstanceIds=machines[:1])
    poll(run, machines[1:], now + timedelta(minutes=12))
    ended = {name for name, machine in recorded_machines(run).items() if machine.ended}
    assert ended == {machines[0]}


def test_recording_machines_deletes_no_alarm(emulator: Emulator) -> None:
    run, machines = run_with_machines(emulator, "Kept", 1)
    now = datetime.now(UTC)
    alarm(run, machines[0])
    record_machines(run, observe_machines(run, machines, now), now)
    lower(run, 0)
    run.aws.ec2.terminate_instances(InstanceIds=machines)
    record_machines(run, observe_machines(run, [], now), now)
    assert recorded_machines(run)[machines[0]].ended
    assert recorded_machines(run)[machines[0]].alarm
    assert alarm_names(run) == [run.names.alarm(machines[0])]


def alarm(run: Run, machine: str) -> None:
    run.aws.cloudwatch.put_metric_alarm(
        AlarmName=run.names.alarm(machine),
        MetricName="CPUUtilization",
        Namespace="AWS/EC2",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=15,
        Threshold=1.0,
        ComparisonOperator="LessThanThreshold",
    )


def test_alarms_of_terminated_machines_are_deleted_if_necessary_in_a_later_poll(
    emulator: Emulator,
) -> None:
    run, machines = run_with_machines(emulator, "Alarmed", 2)
    now = datetime.now(UTC)
    for name in machines:
        alarm(run, name)
    poll(run, machines, now)
    lower(run, 1)
    run.aws.ec2.terminate_instances(InstanceIds=machines[:1])
    emulator.set_account(refused=["cloudwatch:DeleteAlarms"])
    poll(run, machines[1:], now + timedelta(minutes=1))
    assert recorded_machines(run)[machines[0]].ended, "a remaining alarm does no harm"
    assert len(alarm_names(run)) == 2
    emulator.set_account(refused=[])
    poll(run, machines[1:], now + timedelta(minutes=2))
    assert alarm_names(run) == [run.names.alarm(machines[1])]
    with counted(run) as calls:
        poll(run, machines[1:], now + timedelta(minutes=3))
    assert calls == {"GetObject": 1}


def test_a_damaged_record_does_not_keep_machines_running(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(config_at(emulator.endpoint_url, "Unnoted"))
    run.aws.ecs.create_cluster(clusterName=run.config.ecs_cluster)
    record.put(run, "machines.json", "cut off")
    acted: list[Decision] = []
    monkeypatch.setattr(tasks.monitor.tick, "act", lambda _, __, decision: acted.append(decision))
    with pytest.raises(ValidationError):
        tasks.monitor.tick.tick(run, frozenset())
    assert [decision.done for decision in acted] == [True]
