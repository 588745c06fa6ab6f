"""Machines and prices in the test's own time, and the AWS calls of a run."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from recorded_run import config_at, new_run
from waiting import wait_for

from blocks import FleetTemplate
from deployments.local.emulator_client import Emulator
from tasks.cost.machine_hours import MachineUsage
from tasks.cost.prices import Prices, SpotPrice
from tasks.lifecycle.launch import request_fleet
from tasks.runs.run import Run

START = datetime(2026, 3, 1, tzinfo=UTC)
ZONE = "us-east-1a"


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def machine(hours: float, begin: float = 0, **fields: Any) -> MachineUsage:
    """A terminated machine that ran for some hours."""
    values = {"machine_type": "m5.xlarge", "zone": ZONE, "spot": True}
    times = {"launched": at(begin), "seen": at(begin + hours), "ended": at(begin + hours)}
    return MachineUsage(**(values | times | fields))


def steps(*points: tuple[float, float]) -> Prices:
    """Spot prices from each hour on, and the other prices."""
    return Prices(
        spot=tuple(SpotPrice("m5.xlarge", ZONE, at(hour), usd) for hour, usd in points),
        on_demand={"m5.xlarge": 0.2},
        gb_month={"gp3": 0.072},
    )


def run_with_machines(
    emulator: Emulator, app: str, machines: int, **settings: Any
) -> tuple[Run, list[str]]:
    """A run whose fleet has launched its machines."""
    run = new_run(config_at(emulator.endpoint_url, app, cluster_machines=machines, **settings))
    fleet = request_fleet(run, FleetTemplate(), machines)
    wait_for(lambda: len(fleet.machines()) >= machines, "the machines")
    return run, fleet.machines()


@contextmanager
def counted(run: Run) -> Iterator[Counter[str]]:
    """Count the calls of a run by operation."""
    calls: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    clients = [getattr(run.aws, name) for name in run.aws.__dataclass_fields__]
    for client in clients:
        client.meta.events.register("before-call.*.*", count)
    try:
        yield calls
    finally:
        for client in clients:
            client.meta.events.unregister("before-call.*.*", count)
