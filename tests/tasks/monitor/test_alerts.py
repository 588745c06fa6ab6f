"""What Prefect is told of a run, each once: from looks to events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.cost.spend import Spend
from tasks.diagnosis.diagnose import FleetDiagnosis
from tasks.jobs.queues import QueueCounts
from tasks.jobs.results import Account
from tasks.monitor.alerts import FAILING_LEAST, LATE, news
from tasks.monitor.observation import Observation
from tasks.monitor.policy import Decision, decide
from tasks.monitor.trackers import IDLE_LIMIT, Memory, Spending
from tasks.prefect_output import events
from tasks.runs.limits import Limits

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIZE = Limits(
    machines=2,
    tasks_per_machine=1,
    cores=1,
    ends_at=BEGAN + timedelta(hours=10),
    most=timedelta(hours=10),
    max_cost=5.0,
    stall=timedelta(hours=1),
    alike_failures=20,
)
NO_IMAGE = FleetDiagnosis("configuration", "image", "no such image", "CannotPull", "Look at it.")
JOBS = frozenset(str(number) for number in range(100))


def look(minutes: float, failed: int = 0, **changes: Any) -> Observation:
    values: dict[str, Any] = {
        "at": BEGAN + timedelta(minutes=minutes),
        "queue": QueueCounts(waiting=50, in_flight=2),
        "account": Account(
            JOBS, succeeded=frozenset("0"), failed=frozenset(sorted(JOBS)[-failed:])
        ),
        "target": 2,
        "machines": {"i-0": 1, "i-1": 1},
        "joined": frozenset({"i-0", "i-1"}),
        "desired": 2,
        "running": 2,
        "spend": Spend(usd=1.0, usd_an_hour=0.5),
    }
    if not failed:
        values["account"] = Account(JOBS, succeeded=frozenset("0"))
    return Observation(**(values | changes))


def told(*looks: Observation, size: Limits = SIZE, alone: bool = False) -> list[str]:
    """The events of some looks one after the other, as the monitor tells them.

    Args:
        looks: The looks.
        size: The run's limits.
        alone: Whether nobody looked in between.
    """
    memory, found = Memory(), []
    for seen in looks:
        last = memory.at if alone else None
        memory = memory.after(seen, size)
        decision = decide(seen, size, memory)
        memory = memory.draining(decision.finish)
        for one in news(seen, size, memory, decision, last):
            assert one.text
            found.append(one.event)
            memory = memory.having_told(one.event)
        memory = memory.paid(seen.spend)
        if decision.done:
            break
    return found


def test_a_run_that_goes_well_is_told_to_have_started_and_no_more() -> None:
    assert told(look(1), look(2), look(3)) == [events.STARTED]


def test_machines_that_do_not_come_are_told_once() -> None:
    none: dict[str, Any] = {"machines": {}, "joined": frozenset(), "running": 0}
    nothing = QueueCounts(50, 0)
    minutes = LATE.total_seconds() / 60
    looks = [look(minute, queue=nothing, **none) for minute in (1, minutes - 1)]
    assert told(*looks) == [events.STARTED]
    late = [look(minutes + minute, queue=nothing, **none) for minute in (0, 1, 2)]
    assert told(*looks, *late) == [events.STARTED, events.MACHINES_LATE]
    assert told(look(1), *late) == [events.STARTED], "they were there"


def test_a_run_that_nobody_looked_at_is_told_when_somebody_does() -> None:
    assert told(look(1), look(30), look(59), alone=True) == [events.STARTED, events.ORPHANED]
    seldom = replace(SIZE, look_seconds=1800)
    assert told(look(1), look(30), size=seldom, alone=True) == [events.STARTED]


def test_failing_jobs_are_told_when_they_are_many_of_those_that_ended() -> None:
    few, many = look(2, failed=FAILING_LEAST - 1), look(3, failed=FAILING_LEAST)
    assert told(few) == [events.STARTED]
    assert told(few, many, many) == [events.STARTED, events.JOBS_FAILING]
    good = frozenset(str(number) for number in range(80))
    rest = Account(JOBS, succeeded=good, failed=JOBS - good - frozenset({"99"}))
    assert told(look(3, account=rest)) == [events.STARTED], "19 of 99 are some, not many"


@pytest.mark.parametrize(
    ("at_first", "then"),
    [
        (look(1), look(62)),
        (
            look(1, queue=QueueCounts(50, 0), running=0),
            look(1 + IDLE_LIMIT.total_seconds() / 60, queue=QueueCounts(50, 0), running=0),
        ),
        (look(1), look(2, findings=(NO_IMAGE,))),
    ],
    ids=["no job ends", "no container runs", "none can run"],
)
def test_a_run_that_stands_still_is_told(at_first: Observation, then: Observation) -> None:
    assert told(at_first, then) == [events.STARTED, events.STALLED]


def test_a_limit_that_is_reached_is_told_by_its_name_and_no_other_after_it() -> None:
    dear = look(2, spend=Spend(usd=5.1, usd_an_hour=0.5))
    after = look(3, spend=Spend(usd=4.9, usd_an_hour=0.0))
    assert told(dear, look(2.5), after, after) == [events.STARTED, events.OVER_BUDGET]
    end = look(600, queue=QueueCounts(50, 0))
    assert told(look(1), end) == [events.STARTED, events.OUT_OF_TIME]


def test_money_that_is_not_known_does_not_hide_what_was_spent() -> None:
    seen = [look(1, spend=Spend(usd=5.1)), look(2, spend=Spend()), look(3)]
    assert events.OVER_BUDGET in told(*seen)
    assert Spending(5.1, 2.0).after(Spend()) == Spending(5.1, 2.0)


ALL = {value for value in vars(events).values() if str(value).startswith("dcp.")}


@given(
    st.lists(
        st.builds(
            look,
            st.floats(0, 700),
            failed=st.integers(0, 99),
            alike=st.sampled_from(["", "image_missing"]),
            findings=st.sampled_from([(), (NO_IMAGE,)]),
            spend=st.builds(Spend, st.none() | st.floats(0, 9), usd_an_hour=st.floats(0, 9)),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_nothing_is_told_twice(looks: list[Observation]) -> None:
    found = told(*sorted(looks, key=lambda one: one.at))
    assert found[0] == events.STARTED
    assert len(set(found)) == len(found)
    assert set(found) <= ALL


def test_a_run_whose_jobs_are_done_is_in_no_trouble() -> None:
    done = look(900, account=Account(JOBS, succeeded=JOBS), spend=Spend(usd=99.0))
    memory = Memory(told=frozenset({events.STARTED})).after(done, SIZE)
    assert news(done, SIZE, memory, Decision(done=True)) == ()
