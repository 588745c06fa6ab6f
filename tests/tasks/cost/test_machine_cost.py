"""The cost of a run's machines."""

from datetime import UTC, datetime

import pytest
from paid_machines import machine, run_with_machines, steps
from recorded_run import config_at, new_run

from deployments.local.emulator_client import Emulator
from tasks.cost.amounts import Cost
from tasks.cost.machine_cost import cost, cost_of
from tasks.cost.machine_hours import record_final_machines, recorded_machines
from tasks.cost.prices import Prices
from tasks.fleet.find import find_fleets
from tasks.runs.run import Run


@pytest.fixture
def emulator(switched: Emulator) -> Emulator:
    """Tests of this module change settings of the whole account."""
    return switched


def test_each_hour_has_the_price_of_its_time() -> None:
    result = cost([machine(2, begin=1)], steps((0, 0.06), (2, 0.1), (2.5, 0.2)), {"gp3": 100})
    # An hour at 0.06, half an hour at 0.10, half an hour at 0.20; 100 GB for 2 of 720 hours.
    assert result.parts[0].usd is not None
    assert result.parts[0].usd.low == pytest.approx(0.06 + 0.05 + 0.1)
    assert result.parts[1].usd is not None
    assert result.parts[1].usd.low == pytest.approx(0.02)
    assert result.usd == pytest.approx(0.23)
    assert result.on_demand_usd == pytest.approx(0.4 + 0.02), "with the same volumes"
    assert result.machine_hours == 2


def test_an_interruption_in_the_first_hour_is_free() -> None:
    early = machine(0.9, interrupted=True)
    later = machine(1.1, interrupted=True)
    assert cost([early], steps((0, 1.0)), {}).usd == 0
    assert cost([later], steps((0, 1.0)), {}).usd == pytest.approx(1.1)


def test_missing_prices_are_reported_and_not_invented() -> None:
    late = cost([machine(2)], steps((1, 0.06)), {"gp3": 100})
    assert late.usd is None
    assert any("while they ran" in text for text in late.unknown)
    nothing = cost([machine(2)], Prices(unknown=("spot prices (AWS returned none)",)), {"gp3": 100})
    assert (nothing.usd, nothing.on_demand_usd, nothing.machine_hours) == (None, None, 2)
    assert "spot prices (AWS returned none)" in nothing.unknown
    on_demand = cost([machine(2, spot=False)], steps(), {})
    assert on_demand.usd == pytest.approx(0.4)


def final_cost(run: Run) -> Cost | None:
    return cost_of(run, list(record_final_machines(run, datetime.now(UTC)).values()))


def test_the_cost_of_a_run_includes_all_its_machines(emulator: Emulator) -> None:
    run, _ = run_with_machines(emulator, "Paid", 2)
    unpriced = final_cost(run)
    assert unpriced is not None
    assert unpriced.usd is None
    prices = {
        "machine_type": "m5.xlarge",
        "zone": next(iter(recorded_machines(run).values())).zone,
        "at": "2026-01-01T00:00:00Z",
        "usd": 360.0,
    }
    emulator.set_account(spot=[prices], gb_month={"gp3": 0.08}, on_demand={"m5.xlarge": 720.0})
    for fleet in find_fleets(run):
        fleet.cancel()
    result = final_cost(run)
    assert result is not None
    assert result.usd is not None
    machines, volumes = (item.usd for item in result.parts)
    assert machines is not None
    assert volumes is not None
    assert result.on_demand_usd == pytest.approx(720 * result.machine_hours + volumes.high)
    assert machines.low == pytest.approx(360 * result.machine_hours)
    assert all(machine.ended for machine in recorded_machines(run).values())
    # A terminated machine costs nothing more, however late the request.
    assert final_cost(run) == result


def test_a_run_that_never_had_a_machine_has_no_cost(emulator: Emulator) -> None:
    assert final_cost(new_run(config_at(emulator.endpoint_url, "Never"))) is None
