"""The switches: parsing, allowed ranges, changes at run time, repeatability."""

import math
import urllib.error
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from blocks.errors import ConfigError
from deployments.local.chaos_option import parse_chaos
from deployments.local.emulator.core.chaos_switches import DAY_SECONDS, Chaos, in_pool
from deployments.local.emulator_client import Emulator

PAGE = Path(__file__).parents[5] / "docs" / "local.md"


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ((), {}),
        (("late=30", "errors=0.05,seed=7"), {"late": {"*": 30}, "errors": 0.05, "seed": 7}),
        (("late=m5.large:30,late=us-east-1a:5",), {"late": {"m5.large": 30, "us-east-1a": 5}}),
        (("no_capacity",), {"no_capacity": ("*",)}),
        (("no_capacity=m5.large", "no_capacity=us-*"), {"no_capacity": ("m5.large", "us-*")}),
        (("unpullable=dcp/worker:4.2.8",), {"unpullable": ("dcp/worker:4.2.8",)}),
        (("exits=1",), {"exits": {1: 1.0}}),
        (("exits=1:0.25", "exits=2:0.5"), {"exits": {1: 0.25, 2: 0.5}}),
        (("vcpus=8",), {"vcpus": 8}),
    ],
)
def test_options_are_read(options: tuple[str, ...], values: dict[str, object]) -> None:
    assert parse_chaos(options).model_dump(exclude_defaults=True) == values


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("erors=1", ("erors", "errors")),
        ("errors=2", ("errors", "2", "from 0 to 1")),
        ("errors", ("errors", "nothing", "from 0 to 1")),
        ("errors=nan", ("errors", "nan", "from 0 to 1")),
        ("late=m5.large:soon", ("late", "m5.large:soon", "from 0 to 86400")),
        ("at_most=-1", ("at_most", "-1", "whole number")),
        ("exits=256", ("exits", "256", "0 to 255")),
        ("exits=1:3", ("exits", "1:3", "from 0 to 1")),
        ("seed=1,seed=2", ("seed", "twice")),
    ],
)
def test_wrong_switches_are_reported_with_value_and_range(
    option: str, expected: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_chaos([option])
    assert all(part in str(raised.value) for part in ("--chaos", *expected))


def test_switches_change_while_it_runs(emulator: Emulator) -> None:
    before = emulator.chaos()
    emulator.set_chaos(low_counts=0.0, seed=5)
    emulator.set_chaos(late={"none.such": 1})
    assert emulator.chaos() == before.changed({"seed": 5, "late": {"none.such": 1.0}})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        emulator.set_chaos(errors=2)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        emulator.set_chaos(nothing=2)
    emulator.set_chaos(**before.model_dump())
    assert emulator.chaos() == before


def test_changed_switches_are_checked() -> None:
    with pytest.raises(ValidationError):
        Chaos().changed({"errors": -1})


@given(st.integers(), st.integers(0, 10**6), st.floats(0, 1))
def test_a_seed_repeats_itself(seed: int, number: int, share: float) -> None:
    one, other = (Chaos(seed=seed, errors=share, kills=5) for _ in range(2))
    assert one.happens("errors", number) == other.happens("errors", number)
    assert one.seconds_until("kills", number) == other.seconds_until("kills", number)


def test_shares_and_rates_are_kept() -> None:
    chaos = Chaos(errors=0.2, kills=10, exits={1: 0.3, 2: 0.1})
    numbers = range(4000)
    assert sum(chaos.happens("errors", number) for number in numbers) == pytest.approx(800, rel=0.1)
    waits = [chaos.seconds_until("kills", number) for number in numbers]
    assert sum(waits) / len(waits) == pytest.approx(DAY_SECONDS / 10, rel=0.1)
    assert chaos.seconds_until("oom", 1) == math.inf
    fault_name = [chaos.fault_name("exits", number) for number in numbers]
    assert fault_name.count("1") == pytest.approx(1200, rel=0.1)
    assert fault_name.count("2") == pytest.approx(400, rel=0.2)
    assert not any(Chaos().happens("errors", number) for number in numbers)
    assert all(Chaos(errors=1).happens("errors", number) for number in numbers)


@pytest.mark.parametrize("pattern", ["*", "m5.large", "us-east-1a", "m5.*/us-east-1a", "m5.*"])
def test_pools(pattern: str) -> None:
    assert in_pool(pattern, "m5.large", "us-east-1a")
    assert pattern == "*" or not in_pool(pattern, "c5.large", "us-east-1b")


def test_the_page_describes_every_switch() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows_by_switch = {row.split("`")[1]: row for row in rows}
    for name, field in Chaos.model_fields.items():
        assert str(field.description) in rows_by_switch[name]
