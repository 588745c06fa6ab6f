"""What is shown of a run while it runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.cost.spend import Spend
from tasks.jobs.queues import QueueCounts
from tasks.jobs.results import balance
from tasks.monitor.observation import Observation
from tasks.monitor.progress import jobs_an_hour, rate, table, told
from tasks.prefect_output.artifacts import prefect_may_be_away
from tasks.runs.run import Run

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDS = [str(number) for number in range(20)]


def seen(succeeded: int, failed: int, in_flight: int, at: datetime = NOW) -> Observation:
    results = {"succeeded": IDS[:succeeded], "failed": IDS[succeeded : succeeded + failed]}
    return Observation(at, QueueCounts(3, in_flight), balance(IDS, results))


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 40))
def test_the_four_numbers_are_all_jobs(succeeded: int, failed: int, in_flight: int) -> None:
    numbers = seen(succeeded, failed, in_flight).counts()
    assert sum(numbers.values()) == len(IDS)
    assert min(numbers.values()) >= 0
    assert numbers["done"] == succeeded


def test_the_table_names_what_it_counts() -> None:
    rows = {row["what"]: row["number"] for row in table(seen(5, 2, 4))}
    assert rows["jobs succeeded"] == 5
    assert rows["jobs failed"] == 2
    assert rows["jobs open"] == 13
    assert rows["messages in flight (approximate)"] == 4


@pytest.mark.parametrize(("minutes", "ended", "speed"), [(30, 10, 20), (0, 5, None)])
def test_the_rate_is_that_since_the_first_look(
    minutes: int, ended: int, speed: float | None
) -> None:
    assert jobs_an_hour((NOW, 0), seen(ended, 0, 0, NOW + timedelta(minutes=minutes))) == speed


def test_money_is_told_once_there_is_some() -> None:
    look = seen(5, 0, 0)
    assert rate(None, look) == ""
    paid = replace(look, spend=Spend(usd=1.25, usd_an_hour=0.5, machine_hours=2.5))
    assert rate(20, paid) == "20 jobs/hour, 1.25 USD, 0.50 USD/hour"
    rows = {row["what"]: row["number"] for row in table(paid, hours_left=0.75)}
    assert (rows["USD so far"], rows["USD an hour"]) == (1.25, 0.5)
    assert rows["hours left (estimate)"] == 0.8
    assert not {"USD so far", "hours left (estimate)"} & {row["what"] for row in table(look)}


def test_prefect_is_told_when_a_count_changes_and_of_money_now_and_then(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []
    pages: list[str] = []
    monkeypatch.setattr(
        "tasks.monitor.progress._RunArtifacts.write", lambda *about: written.append(about[2])
    )
    monkeypatch.setattr(
        "tasks.monitor.progress.create_markdown_artifact", lambda page, **_: pages.append(page)
    )
    with told(run) as tell:
        for minute in range(25):
            look = seen(5, 0, 0, NOW + timedelta(minutes=minute))
            tell(replace(look, spend=Spend(usd=minute, usd_an_hour=60.0, machine_hours=1)))
        tell(seen(6, 0, 0, NOW + timedelta(minutes=25)))
    assert [dict(map(dict.values, rows)).get("USD so far") for rows in written] == [0, 10, 20, None]
    (page,) = pages
    assert f"dashboards/dashboard/{run.names.app})" in page
    assert f"&prefix=dcp/{run.names.app}/{run.run_id}/)" in page


def test_a_prefect_that_is_away_stops_nothing_and_other_errors_are_not_hidden() -> None:
    with prefect_may_be_away():
        raise httpx.ConnectError("All connection attempts failed")
    with pytest.raises(KeyError), prefect_may_be_away():
        raise KeyError("ours")
