"""The cost of a run so far: never too low, and cheap to fetch."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paid_machines import ZONE, counted, machine, run_with_machines, steps
from recorded_run import config_at, new_run

from deployments.local.emulator_client import Emulator
from tasks.cost.machine_cost import cost
from tasks.cost.machine_hours import MachineUpdate, MachineUsage, record_machines
from tasks.cost.prices import Prices
from tasks.cost.spend import DEAREST_VOLUME, Spend, spend, spend_so_far
from tasks.runs import record

GP3 = {"gp3": 100}


@pytest.fixture
def emulator(switched: Emulator) -> Emulator:
    """Tests of this module change settings of the whole account."""
    return switched


def spend_on(*machines: MachineUsage, paid: Prices, volumes: dict[str, int] = GP3) -> Spend:
    update = MachineUpdate({}, {f"i-{number}": machine for number, machine in enumerate(machines)})
    return spend(update, paid, volumes, machine_price=0.15)


def test_the_cost_is_grouped_by_type_zone_and_spot() -> None:
    runs = machine(2, ended=None)
    on_demand = machine(1, spot=False)
    elsewhere = machine(1, zone="us-east-1b")
    result = spend_on(runs, machine(1), on_demand, elsewhere, paid=steps((0, 0.06), (1, 0.1)))
    rows = {(group.zone, group.spot): group for group in result.groups}
    spot = rows[ZONE, True]
    assert (spot.machines, spot.running, spot.hours) == (2, 1, 3)
    assert spot.usd == pytest.approx(0.06 + 0.1 + 0.06)
    assert (spot.usd_an_hour, spot.bound) == (0.1, "")
    assert rows[ZONE, False].usd == pytest.approx(0.2)
    assert rows[ZONE, False].bound == ""
    assert rows["us-east-1b", True].usd == pytest.approx(0.2), "at the on-demand price"
    assert result.bounds == ("m5.xlarge in us-east-1b: the on-demand price, 0.2 USD per hour",)
    disk = 100 * 0.072 / 720
    assert result.volumes_usd == pytest.approx(5 * disk)
    assert result.usd == pytest.approx(0.22 + 0.4 + 5 * disk)
    assert result.usd_an_hour == pytest.approx(0.1 + disk)


def test_without_prices_upper_bounds_are_used() -> None:
    result = spend_on(machine(2, ended=None), paid=Prices())
    disk = 100 * DEAREST_VOLUME / 720
    assert result.usd == pytest.approx(2 * (0.15 + disk))
    assert result.usd_an_hour == pytest.approx(0.15 + disk)
    assert [bound.partition(":")[0] for bound in result.bounds] == [
        "m5.xlarge in us-east-1a",
        "volumes",
    ]


machines = st.builds(
    machine,
    st.floats(0, 50),
    begin=st.floats(0, 50),
    spot=st.booleans(),
    interrupted=st.booleans(),
)
points = st.lists(st.tuples(st.floats(0, 60), st.floats(0.01, 0.14)), max_size=5)


@given(st.lists(machines, max_size=5), points)
def test_the_cost_so_far_is_never_below_the_final_cost(
    ran: list[MachineUsage], points: list[tuple[float, float]]
) -> None:
    paid = steps(*points)
    so_far = spend_on(*ran, paid=paid)
    assert so_far.usd is not None
    final = cost(ran, paid, GP3)
    if final.usd is not None:
        assert so_far.usd == pytest.approx(final.usd)
    # The bound for a missing price is never below a known price.
    everything = steps((0, 0.01), *points)
    priced = cost(ran, everything, GP3).usd
    assert priced is not None
    assert so_far.usd >= priced - 1e-9


def test_prices_are_fetched_only_every_15_minutes(emulator: Emulator) -> None:
    run, ids = run_with_machines(emulator, "Spent", 2, machine_price=0.5)
    now = datetime.now(UTC)
    with counted(run) as first:
        so_far = spend_so_far(run, ids, now)
    assert first["DescribeSpotPriceHistory"] == 1
    assert first["GetProducts"] == 2
    assert so_far.machines is not None
    record_machines(run, so_far.machines, now)
    with counted(run) as later:
        for minute in range(1, 14):
            so_far = spend_so_far(run, ids, now + timedelta(minutes=minute))
    assert later == {"GetObject": 13}
    assert so_far.machine_hours == pytest.approx(2 * 13 / 60, abs=0.02)
    assert so_far.usd is not None
    assert so_far.usd >= 0.5 * so_far.machine_hours
    emulator.set_account(on_demand={"m5.xlarge": 36.0})
    dear = spend_so_far(run, ids, now + timedelta(minutes=15))
    assert dear.usd_an_hour >= 72


def test_a_run_without_machines_costs_nothing_and_fetches_no_prices(emulator: Emulator) -> None:
    run = new_run(config_at(emulator.endpoint_url, "Unspent"))
    with counted(run) as calls:
        assert spend_so_far(run, (), datetime.now(UTC)).usd == 0
    assert calls == {"GetObject": 1}


def test_with_a_damaged_record_the_cost_is_unknown(emulator: Emulator) -> None:
    run = new_run(config_at(emulator.endpoint_url, "Damaged"))
    record.put(run, "machines.json", "cut off")
    assert spend_so_far(run, (), datetime.now(UTC)).usd is None
