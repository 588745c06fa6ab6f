"""The machines of a run and their cost: remembered between looks, and priced as they ran."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from recorded_run import config_at, new_run

import tasks.monitor
from blocks import FleetTemplate
from deployments.local.aws import Emulator, start_emulator
from tasks import record
from tasks.machine_time import Machine, Machines, cost, cost_of, looked, note, noted
from tasks.monitor import Decision
from tasks.prices import Prices, SpotPrice
from tasks.run import Run
from tasks.start import find_fleets, request_fleet

START = datetime(2026, 3, 1, tzinfo=UTC)
ZONE = "us-east-1a"


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def machine(hours: float, begin: float = 0, **fields: Any) -> Machine:
    values = {"machine_type": "m5.xlarge", "zone": ZONE, "spot": True}
    times = {"launched": at(begin), "seen": at(begin + hours), "ended": at(begin + hours)}
    return Machine(**(values | times | fields))


def steps(*points: tuple[float, float]) -> Prices:
    """Spot prices from an hour on, and what else is paid."""
    return Prices(
        spot=tuple(SpotPrice("m5.xlarge", ZONE, at(hour), usd) for hour, usd in points),
        on_demand={"m5.xlarge": 0.2},
        gb_month={"gp3": 0.072},
    )


def test_each_hour_costs_what_it_cost_then() -> None:
    found = cost([machine(2, begin=1)], steps((0, 0.06), (2, 0.1), (2.5, 0.2)), {"gp3": 100})
    # An hour at 0.06, half an hour at 0.10, half an hour at 0.20; 100 GB for 2 of 720 hours.
    assert found.parts[0].usd is not None
    assert found.parts[0].usd.low == pytest.approx(0.06 + 0.05 + 0.1)
    assert found.parts[1].usd is not None
    assert found.parts[1].usd.low == pytest.approx(0.02)
    assert found.usd == pytest.approx(0.23)
    assert found.on_demand_usd == pytest.approx(0.4 + 0.02), "with the same volumes"
    assert found.machine_hours == 2


def test_an_interruption_in_the_first_hour_is_free() -> None:
    taken = machine(0.9, interrupted=True)
    later = machine(1.1, interrupted=True)
    assert cost([taken], steps((0, 1.0)), {}).usd == 0
    assert cost([later], steps((0, 1.0)), {}).usd == pytest.approx(1.1)


def test_what_has_no_price_is_named_and_none_is_made_up() -> None:
    late = cost([machine(2)], steps((1, 0.06)), {"gp3": 100})
    assert late.usd is None
    assert any("at the time they ran" in one for one in late.unknown)
    nothing = cost([machine(2)], Prices(unknown=("spot prices (AWS told none)",)), {"gp3": 100})
    assert (nothing.usd, nothing.on_demand_usd, nothing.machine_hours) == (None, None, 2)
    assert "spot prices (AWS told none)" in nothing.unknown
    bought = cost([machine(2, spot=False)], steps(), {})
    assert bought.usd == pytest.approx(0.4)


NAMES = [f"i-{number}" for number in range(4)]


@given(st.lists(st.tuples(st.sets(st.sampled_from(NAMES)), st.integers(1, 60)), min_size=1))
def test_a_machine_is_paid_from_its_start_to_when_it_was_last_seen(
    looks: list[tuple[set[str], int]],
) -> None:
    """Whatever comes and goes, with an AWS that forgets what has ended at once."""
    known: Machines = {}
    gone: set[str] = set()
    time = START
    first: dict[str, datetime] = {}
    last: dict[str, datetime] = {}
    for present, minutes in looks:
        time += timedelta(minutes=minutes)
        now = present - gone
        described = {
            name: machine(0, launched=first.setdefault(name, time), seen=time, ended=None)
            for name in now
        }
        known = looked(known, described, now, time)
        last |= dict.fromkeys(now, time)
        gone |= known.keys() - now
    assert known.keys() == first.keys()
    for name, one in known.items():
        assert (one.launched, one.seen) == (first[name], last[name])
        assert one.ended == (last[name] if name in gone else None)
        assert one.hours == (last[name] - first[name]).total_seconds() / 3600


def test_what_aws_says_of_the_end_counts() -> None:
    kept = {"i-0": machine(1, ended=None)}
    told = {"i-0": machine(1.5, interrupted=True)}
    found = looked(kept, told, (), at(3))["i-0"]
    assert (found.ended, found.interrupted) == (at(1.5), True)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with start_emulator(
        tmp_path_factory.mktemp("aws"), Path(sys.executable), boot_seconds=0.1
    ) as running:
        yield running


def run_with_machines(emulator: Emulator, app: str, machines: int) -> tuple[Run, list[str]]:
    run = new_run(config_at(emulator.endpoint_url, app, cluster_machines=machines))
    fleet = request_fleet.fn(run, FleetTemplate(), machines)  # type: ignore[attr-defined] # a task
    while len(fleet.machines()) < machines:
        pass
    return run, fleet.machines()


def test_machines_are_noted_when_they_come_and_go(emulator: Emulator) -> None:
    run, machines = run_with_machines(emulator, "Noted", 2)
    now = datetime.now(UTC)
    note(run, machines, now)
    assert noted(run).keys() == set(machines)
    text = record.read(run, "machines.json")
    note(run, machines, now + timedelta(minutes=5))
    assert record.read(run, "machines.json") == text
    note(run, machines, now + timedelta(minutes=11))
    assert {one.seen for one in noted(run).values()} == {now + timedelta(minutes=11)}
    run.aws.ec2.terminate_instances(InstanceIds=machines[:1])
    note(run, machines[1:], now + timedelta(minutes=12))
    ended = {name for name, one in noted(run).items() if one.ended}
    assert ended == {machines[0]}


def test_a_note_that_cannot_be_written_keeps_no_machines(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(config_at(emulator.endpoint_url, "Unnoted"))
    run.aws.ecs.create_cluster(clusterName=run.config.ecs_cluster)
    record.put(run, "machines.json", "cut off")
    acted: list[Decision] = []
    monkeypatch.setattr(tasks.monitor, "act", lambda _, __, decision: acted.append(decision))
    with pytest.raises(ValidationError):
        tasks.monitor.tick(run, frozenset())
    assert [decision.done for decision in acted] == [True]


def test_the_cost_of_a_run_is_of_all_its_machines(emulator: Emulator) -> None:
    run, _ = run_with_machines(emulator, "Paid", 2)
    nobody_told = cost_of(run)
    assert nobody_told is not None
    assert nobody_told.usd is None
    prices = {
        "machine_type": "m5.xlarge",
        "zone": next(iter(noted(run).values())).zone,
        "at": "2026-01-01T00:00:00Z",
        "usd": 360.0,
    }
    emulator.set_account(spot=[prices], gb_month={"gp3": 0.08}, on_demand={"m5.xlarge": 720.0})
    for fleet in find_fleets(run):
        fleet.cancel()
    found = cost_of(run)
    assert found is not None
    assert found.usd is not None
    machines, volumes = (part.usd for part in found.parts)
    assert machines is not None
    assert volumes is not None
    assert found.on_demand_usd == pytest.approx(720 * found.machine_hours + volumes.high)
    assert machines.low == pytest.approx(360 * found.machine_hours)
    assert all(one.ended for one in noted(run).values())
    # What is over costs no more, however late one asks.
    assert cost_of(run) == found


def test_a_run_that_never_had_a_machine_has_no_cost(emulator: Emulator) -> None:
    assert cost_of(new_run(config_at(emulator.endpoint_url, "Never"))) is None
