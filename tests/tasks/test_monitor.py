"""What the monitor decides, for any run that can be."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.limits import Limits
from tasks.monitor import (
    EMPTY_LOOKS,
    IDLE_LIMIT,
    LOST_AFTER,
    LOST_LOOKS,
    Decision,
    Memory,
    Observation,
    decide,
    remember,
)
from tasks.queues import QueueCounts
from tasks.results import Account

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDS = [f"i-{number}" for number in range(6)]


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    return Limits(
        machines=draw(st.integers(1, 6)),
        tasks_per_machine=draw(st.integers(1, 4)),
        cores=draw(st.integers(1, 4)),
        ends_at=NOW + timedelta(hours=1),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    jobs = frozenset(str(number) for number in range(draw(st.integers(1, 60))))
    done = frozenset(draw(st.sets(st.sampled_from(sorted(jobs)))))
    machines = {one: draw(st.integers(0, 4)) for one in draw(st.sets(st.sampled_from(IDS)))}
    joined = draw(st.sets(st.sampled_from(sorted(machines)))) if machines else set()
    return Observation(
        at=NOW,
        queue=draw(
            st.none() | st.builds(QueueCounts, st.integers(0, 60), in_flight=st.integers(0, 60))
        ),
        account=Account(submitted=jobs, succeeded=done),
        target=draw(st.integers(0, 6)),
        # A machine that has not joined the cluster has no containers that anybody knows of.
        machines={one: tasks if one in joined else 0 for one, tasks in machines.items()},
        joined=frozenset(joined),
        desired=draw(st.integers(0, 24)),
        running=sum(machines.values()),
    )


@given(observations(), limits())
def test_only_idle_machines_that_have_joined_are_ended(seen: Observation, size: Limits) -> None:
    decision = decide(seen, size, remember(seen, Memory()))
    assert decision.terminate <= seen.joined
    assert all(seen.machines[machine] == 0 for machine in decision.terminate)


@given(observations(), limits())
def test_the_target_covers_working_machines_and_the_work(seen: Observation, size: Limits) -> None:
    decision = decide(seen, size, remember(seen, Memory()))
    if decision.done:
        return
    target = seen.target if decision.target is None else decision.target
    desired = seen.desired if decision.desired is None else decision.desired
    busy = sum(1 for machine, tasks in seen.machines.items() if tasks or machine not in seen.joined)
    left = len(seen.account.open)
    assert target >= busy
    assert target * size.tasks_per_machine >= desired
    assert desired * size.cores >= min(left, size.machines * size.tasks_per_machine * size.cores)
    # No container that could not get a job, and no machine beyond those that are there or needed.
    assert (desired - 1) * size.cores < left
    assert target <= max(busy, size.machines)


@given(observations(), limits())
def test_what_stays_after_terminating_is_the_target(seen: Observation, size: Limits) -> None:
    decision = decide(seen, size, remember(seen, Memory()))
    if decision.terminate:
        assert len(seen.machines) - len(decision.terminate) >= (decision.target or seen.target)


@given(observations(), limits(), st.integers(0, LOST_LOOKS - 2))
def test_the_run_is_over_only_when_the_account_balances(
    seen: Observation, size: Limits, looks: int
) -> None:
    decision = decide(seen, size, remember(seen, Memory(empty_looks=looks)))
    assert decision.done == (not seen.account.open)


def look(**changes: object) -> Observation:
    given = {
        "at": NOW,
        "queue": QueueCounts(waiting=1, in_flight=0),
        "account": Account(submitted=frozenset({"a", "b"}), succeeded=frozenset({"a"})),
        "target": 1,
        "machines": {"i-0": 1},
        "joined": frozenset({"i-0"}),
        "desired": 1,
        "running": 1,
    }
    return Observation(**(given | changes))


SIZE = Limits(machines=2, tasks_per_machine=1, cores=1, ends_at=NOW + timedelta(hours=1))


def test_nothing_is_done_when_all_is_as_it_should_be() -> None:
    assert decide(look(), SIZE, Memory()) == Decision()


def test_max_hours_end_the_run() -> None:
    late = look(at=NOW + timedelta(hours=1))
    assert decide(late, SIZE, Memory()).done
    assert decide(late, SIZE, Memory()).stop


@pytest.mark.parametrize("seconds", [1, 60])
def test_an_empty_queue_is_believed_only_after_several_looks_and_minutes(seconds: int) -> None:
    memory, at = Memory(), NOW
    claims: list[bool] = []
    while True:
        empty = look(at=at, queue=QueueCounts(0, 0))
        memory = remember(empty, memory)
        decision = decide(empty, SIZE, memory)
        if decision.done:
            break
        claims.append(decision.claim)
        at += timedelta(seconds=seconds)
    assert claims[: EMPTY_LOOKS - 1] == [False] * (EMPTY_LOOKS - 1)
    assert claims[EMPTY_LOOKS - 1]
    assert decision.lost
    assert len(claims) >= LOST_LOOKS - 1
    assert at - NOW >= LOST_AFTER


def test_work_in_flight_forgets_the_empty_looks() -> None:
    memory = remember(look(queue=QueueCounts(0, 1)), Memory(empty_looks=9, empty_since=NOW))
    assert memory == Memory()


def test_jobs_that_wait_without_any_container_stop_the_run_with_what_ecs_says() -> None:
    stuck = look(running=0, machines={"i-0": 0}, says="unable to place a task")
    memory = remember(stuck, Memory())
    assert memory.idle_since == NOW
    assert not decide(stuck, SIZE, memory).done
    later = look(at=NOW + IDLE_LIMIT, running=0, says="unable to place a task")
    end = (
        decide(later, SIZE, remember(later, memory)).stop
        or decide(later, Limits(2, 1, 1, NOW + timedelta(days=1)), remember(later, memory)).stop
    )
    assert "unable to place a task" in end
    assert remember(look(), memory).idle_since is None


def test_a_lack_of_capacity_is_waited_for() -> None:
    assert remember(look(running=0, machines={}, joined=frozenset()), Memory()).idle_since is None
