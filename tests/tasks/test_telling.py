"""What is shown of a run while it runs."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.policy import Observation
from tasks.queues import QueueCounts
from tasks.results import balance
from tasks.telling import counts, prefect_may_be_away, rate, table

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDS = [str(number) for number in range(20)]


def seen(succeeded: int, failed: int, in_flight: int, at: datetime = NOW) -> Observation:
    results = {"succeeded": IDS[:succeeded], "failed": IDS[succeeded : succeeded + failed]}
    return Observation(at, QueueCounts(3, in_flight), balance(IDS, results))


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 40))
def test_the_four_numbers_are_all_jobs(succeeded: int, failed: int, in_flight: int) -> None:
    numbers = counts(seen(succeeded, failed, in_flight))
    assert sum(numbers.values()) == len(IDS)
    assert min(numbers.values()) >= 0
    assert numbers["done"] == succeeded


def test_the_table_names_what_it_counts() -> None:
    rows = {row["what"]: row["number"] for row in table(seen(5, 2, 4))}
    assert rows["jobs succeeded"] == 5
    assert rows["jobs failed"] == 2
    assert rows["jobs open"] == 13
    assert rows["messages in flight (approximate)"] == 4


@pytest.mark.parametrize(("minutes", "ended", "text"), [(30, 10, "20 jobs/hour"), (0, 5, "")])
def test_the_rate_is_that_since_the_first_look(minutes: int, ended: int, text: str) -> None:
    assert rate((NOW, 0), seen(ended, 0, 0, NOW + timedelta(minutes=minutes))) == text


def test_a_prefect_that_is_away_stops_nothing_and_other_errors_are_not_hidden() -> None:
    with prefect_may_be_away():
        raise httpx.ConnectError("All connection attempts failed")
    with pytest.raises(KeyError), prefect_may_be_away():
        raise KeyError("ours")
