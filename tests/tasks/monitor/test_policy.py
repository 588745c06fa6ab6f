"""What is decided, for any run that can be."""

import math
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
from tasks.monitor.observation import Observation
from tasks.monitor.policy import CHEAPEST_AFTER, TAIL_SECONDS, Decision, decide
from tasks.monitor.trackers import (
    ALONE_LIMIT,
    EMPTY_LOOKS,
    IDLE_LIMIT,
    LOST_AFTER,
    LOST_LOOKS,
    STALL_LEAST,
    USELESS_LIMIT,
    Drain,
    EmptyQueue,
    FirstMachine,
    Memory,
    Progress,
    Spending,
    UselessMachines,
)
from tasks.runs.limits import START_SECONDS, Limits, containers_needed, machines_needed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDS = [f"i-{number}" for number in range(6)]


@st.composite
def limits(draw: st.DrawFn, cheapest: bool = False) -> Limits:
    return Limits(
        machines=draw(st.integers(1, 6)),
        tasks_per_machine=draw(st.integers(1, 4)),
        cores=draw(st.integers(1, 4)),
        ends_at=NOW + timedelta(hours=draw(st.integers(8, 72))),
        seconds_per_job=draw(st.none() | st.floats(1, 3600)),
        cheapest=cheapest,
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
        running=sum(tasks for one, tasks in machines.items() if one in joined),
        stale=draw(st.booleans()),
    )


@st.composite
def memories(draw: st.DrawFn) -> Memory:
    long_ago = NOW - timedelta(hours=1)
    return Memory(
        at=NOW - timedelta(minutes=1),
        first_machine=FirstMachine(draw(st.none() | st.just(long_ago))),
        useless_machines=UselessMachines(
            {one: long_ago for one in draw(st.sets(st.sampled_from(IDS)))}
        ),
        progress=Progress(
            ended=draw(st.integers(0, 60)),
            work_seconds=draw(st.floats(0, 1e6)),
            progress_at=NOW,
        ),
        drain=Drain(draw(st.sampled_from(["", "the run has reached its max_cost"]))),
    )


def decided(seen: Observation, size: Limits, memory: Memory) -> Decision:
    return decide(seen, size, memory.after(seen, size))


@given(observations(), limits() | limits(cheapest=True), memories())
def test_a_machine_with_a_container_is_never_ended(
    seen: Observation, size: Limits, memory: Memory
) -> None:
    decision = decided(seen, size, memory)
    assert decision.terminate <= set(seen.machines)
    assert all(seen.machines[machine] == 0 for machine in decision.terminate)


@given(observations(), limits(), memories())
def test_the_target_is_between_what_is_at_work_and_what_the_jobs_can_use(
    seen: Observation, size: Limits, memory: Memory
) -> None:
    decision = decided(seen, size, memory)
    if decision.done:
        return
    target = seen.target if decision.target is None else decision.target
    at_work = machines_needed(math.ceil(seen.at_work(size.cores) / size.cores), size)
    usable = machines_needed(containers_needed(seen.left, size), size)
    if decision.finish:
        assert target == min(at_work, len(seen.machines))
    else:
        assert min(at_work, usable) <= target <= usable


@given(observations(), limits(), memories())
def test_containers_are_no_more_than_jobs_can_use_and_no_fewer_than_work(
    seen: Observation, size: Limits, memory: Memory
) -> None:
    decision = decided(seen, size, replace(memory, drain=Drain()))
    if decision.done:
        return
    desired = seen.desired if decision.desired is None else decision.desired
    assert 0 < desired <= containers_needed(seen.left, size)
    assert desired * size.cores >= min(seen.at_work(size.cores), size.machines * size.slots)


@given(observations(), limits(), memories())
def test_machines_that_are_asked_for_stay_but_for_those_that_are_of_no_use(
    seen: Observation, size: Limits, memory: Memory
) -> None:
    known = replace(memory, drain=Drain()).after(seen, size)
    decision = decide(seen, size, known)
    target = seen.target if decision.target is None else decision.target
    ended = decision.terminate - set(known.useless_machines.useless)
    if ended:
        assert len(seen.machines) - len(ended) >= target


@given(observations(), limits(), memories(), st.integers(0, LOST_LOOKS - 2))
def test_the_run_is_complete_only_when_the_account_balances(
    seen: Observation, size: Limits, memory: Memory, looks: int
) -> None:
    decision = decided(seen, size, replace(memory, empty_queue=EmptyQueue(looks)))
    complete = decision.done and not decision.stop
    assert complete == (not seen.account.open)


@given(observations(), limits(), memories())
def test_the_fleet_grows_back_when_work_returns(
    seen: Observation, size: Limits, memory: Memory
) -> None:
    nobody = replace(
        seen, machines={}, joined=frozenset(), running=0, stale=False, target=0, desired=0
    )
    decision = decided(nobody, size, replace(memory, drain=Drain()))
    if not decision.done:
        assert (decision.target or 0) >= 1
        assert (decision.desired or 0) >= 1


@given(observations(), limits(cheapest=True))
def test_cheapest_mode_asks_for_one_machine_and_ends_none_at_work(
    seen: Observation, size: Limits
) -> None:
    memory = Memory(
        at=NOW,
        first_machine=FirstMachine(NOW - CHEAPEST_AFTER),
        progress=Progress(progress_at=NOW),
    )
    decision = decided(seen, size, memory)
    if not decision.done:
        assert (seen.target if decision.target is None else decision.target) == 1


@given(observations(), limits(), memories())
def test_who_finishes_begins_nothing_and_asks_for_no_machine(
    seen: Observation, size: Limits, memory: Memory
) -> None:
    decision = decided(seen, size, memory.draining("max_cost"))
    if decision.done:
        assert decision.stop or not seen.account.open
        return
    assert decision.finish == "max_cost"
    assert (seen.desired if decision.desired is None else decision.desired) == 0
    assert (seen.target if decision.target is None else decision.target) <= len(seen.machines)


SIZE = Limits(machines=2, tasks_per_machine=1, cores=1, ends_at=NOW + timedelta(hours=10))


def look(**changes: Any) -> Observation:
    given: dict[str, Any] = {
        "at": NOW,
        "queue": QueueCounts(waiting=1, in_flight=1),
        "account": Account(submitted=frozenset("abcd"), succeeded=frozenset("a")),
        "target": 2,
        "machines": {"i-0": 1, "i-1": 1},
        "joined": frozenset({"i-0", "i-1"}),
        "desired": 2,
        "running": 2,
    }
    return Observation(**(given | changes))


def after(seen: Observation, *later: Observation, size: Limits = SIZE) -> Memory:
    """What is remembered after some looks, each of which is acted on."""
    memory = Memory()
    for one in (seen, *later):
        memory = memory.after(one, size)
        memory = memory.draining(decide(one, size, memory).finish)
    return memory


def later(seen: Observation, time: timedelta, **changes: Any) -> Observation:
    return replace(seen, at=seen.at + time, **changes)


def test_nothing_is_done_when_all_is_as_it_should_be() -> None:
    assert decided(look(), SIZE, Memory()) == Decision(look_after=SIZE.look_seconds)


def test_looks_are_closer_once_no_job_waits() -> None:
    tail = look(queue=QueueCounts(0, 2), account=Account(frozenset("ab")))
    assert decided(tail, SIZE, Memory()).look_after == TAIL_SECONDS
    assert decided(tail, replace(SIZE, look_seconds=2), Memory()).look_after == 2


@pytest.mark.parametrize("seconds", [1, 60])
def test_an_empty_queue_is_believed_only_after_several_looks_and_minutes(seconds: int) -> None:
    memory, at = Memory(), NOW
    claims: list[bool] = []
    while True:
        empty = look(at=at, queue=QueueCounts(0, 0))
        memory = memory.after(empty, SIZE)
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
    memory = Memory(empty_queue=EmptyQueue(9, NOW))
    assert memory.after(look(queue=QueueCounts(0, 1)), SIZE).empty_queue == EmptyQueue()


def test_jobs_that_wait_without_any_container_stop_the_run_with_what_ecs_says() -> None:
    stuck = look(running=0, machines={"i-0": 0}, says="unable to place a task")
    assert not decided(stuck, SIZE, Memory()).done
    still = later(stuck, IDLE_LIMIT)
    assert "unable to place a task" in decide(still, SIZE, after(stuck, still)).stop
    assert after(stuck, look()).idle.idle_since is None


def test_a_lack_of_capacity_is_waited_for() -> None:
    waits = look(running=0, machines={}, joined=frozenset())
    assert not decide(later(waits, 3 * IDLE_LIMIT), SIZE, after(waits)).done


def test_a_run_whose_fleet_is_gone_does_not_wait_for_ever() -> None:
    alone = look(fleets=0, target=0, machines={}, joined=frozenset(), running=0)
    assert not decided(alone, SIZE, Memory()).done
    still = later(alone, ALONE_LIMIT)
    assert "no fleet" in decide(still, SIZE, after(alone, still)).stop
    assert after(alone, look()).no_fleet.alone_since is None


def test_what_can_never_run_stops_the_run() -> None:
    wrong = FleetDiagnosis("configuration", "image", "no such image", "CannotPull", "Look at it.")
    lack = replace(wrong, level="capacity")
    assert "no such image" in decided(look(findings=(lack, wrong)), SIZE, Memory()).stop
    assert not decided(look(findings=(lack,)), SIZE, Memory()).done


def test_a_machine_that_never_gets_a_container_is_replaced_while_others_work() -> None:
    bad = look(machines={"i-0": 1, "i-1": 0}, joined=frozenset({"i-0"}), running=1)
    memory = after(bad)
    assert not decide(bad, SIZE, memory).terminate
    still = later(bad, USELESS_LIMIT)
    decision = decide(still, SIZE, memory.after(still, SIZE))
    assert decision.terminate == {"i-1"}
    assert decision.target is None, "another one takes its place"
    # Where none has one, only who has not joined is to blame.
    nobody = replace(still, machines={"i-0": 0, "i-1": 0}, running=0)
    assert decide(nobody, SIZE, memory.after(nobody, SIZE)).terminate == {"i-1"}


# Near the end


def busy(waiting: int, machines: int = 4, seconds: float = 600) -> tuple[Observation, Limits]:
    """Machines of one slot, all at work, one fewer than the run may have."""
    jobs = frozenset(str(number) for number in range(machines + waiting))
    there = {f"i-{number}": 1 for number in range(machines)}
    seen = Observation(
        at=NOW,
        queue=QueueCounts(waiting, machines),
        account=Account(jobs),
        target=machines + 1,
        machines=there,
        joined=frozenset(there),
        desired=machines + 1,
        running=machines,
    )
    return seen, replace(SIZE, machines=machines + 1, seconds_per_job=seconds)


def test_a_machine_that_would_come_too_late_is_not_asked_for() -> None:
    enough = math.ceil(2 * START_SECONDS * 4 / 600)
    seen, size = busy(waiting=enough)
    assert decided(seen, size, Memory()).target is None
    seen, size = busy(waiting=enough - 1)
    decision = decided(seen, size, Memory())
    assert (decision.target, decision.desired) == (4, 4)


def test_machines_come_free_while_the_last_jobs_end_one_by_one() -> None:
    # At each look of a tail fewer containers are needed than at the one before.
    there = {"i-0": 1, "i-1": 1, "i-2": 0}
    tail = look(
        account=Account(frozenset("abcd"), frozenset("ab")),
        queue=QueueCounts(0, 2),
        machines=there,
        joined=frozenset(there),
        desired=3,
        running=3,
    )
    size = replace(SIZE, machines=3)
    assert decided(replace(tail, running=2), size, Memory()).terminate == frozenset(), (
        "one is placed"
    )
    assert decided(tail, size, Memory()).terminate == {"i-2"}


def test_a_machine_that_starts_too_late_is_ended() -> None:
    seen, size = busy(waiting=1)
    starts = replace(seen, machines={**seen.machines, "i-late": 0}, desired=4, target=4)
    assert decided(starts, size, Memory()).terminate == {"i-late"}
    seen, size = busy(waiting=9)
    starts = replace(seen, machines={**seen.machines, "i-late": 0})
    assert not decided(starts, size, Memory()).terminate


def test_no_more_machines_are_asked_for_than_find_work_for_as_long_as_their_start() -> None:
    seen, size = busy(waiting=0, machines=4, seconds=60)
    nothing_runs = replace(
        seen, machines={}, joined=frozenset(), running=0, target=0, queue=QueueCounts(4, 0)
    )
    decision = decided(nothing_runs, size, Memory())
    assert (decision.target, decision.desired) == (1, 1)


@given(st.integers(2, 40), st.floats(30, 2000), st.integers(1, 8))
def test_what_a_job_takes_is_told_from_the_work_that_was_seen(
    rounds: int, seconds: float, slots: int
) -> None:
    size = Limits(machines=slots, tasks_per_machine=1, cores=1, ends_at=NOW + timedelta(days=9))
    jobs = [str(number) for number in range((rounds + 1) * slots)]
    memory, step = Memory(), seconds / 4
    for tick in range(4 * rounds + 1):
        done = tick // 4 * slots
        seen = Observation(
            at=NOW + timedelta(seconds=tick * step),
            queue=QueueCounts(len(jobs) - done - slots, slots),
            account=Account(frozenset(jobs), frozenset(jobs[:done])),
            running=slots,
        )
        memory = memory.after(seen, size)
    told = memory.progress.seconds_per_job(seen, size)
    if rounds * slots >= 10:
        assert told is not None
        # All slots begin together here, so none is half done at the last look.
        assert told == pytest.approx(seconds, rel=0.5 / rounds + 0.01)


# What ends a run before its jobs do


def test_max_hours_end_the_run_in_order_and_then_at_once() -> None:
    seen = look()
    size = replace(SIZE, most=timedelta(hours=10), seconds_per_job=60)
    early = later(seen, timedelta(hours=10) - timedelta(seconds=181))
    assert not decided(early, size, Memory()).finish
    near = later(seen, timedelta(hours=10) - timedelta(seconds=179))
    decision = decided(near, size, Memory())
    assert "max_hours" in decision.finish
    assert not decision.done
    assert decision.desired == 0
    over = later(seen, timedelta(hours=10))
    assert "max_hours" in decided(over, size, Memory()).stop


def test_max_cost_leaves_money_for_what_runs() -> None:
    size = replace(SIZE, max_cost=10.0, seconds_per_job=1800)
    cheap = Memory(spending=Spending(8.9, 2.0))
    assert not decided(look(), size, cheap).finish
    decision = decided(look(), size, Memory(spending=Spending(9.1, 2.0)))
    assert "max_cost" in decision.finish
    assert "9.10 USD" in decision.finish
    assert "max_cost" in decided(look(), size, Memory(spending=Spending(11.1))).stop
    assert not decided(look(), size, Memory()).stop


def test_what_runs_comes_to_its_end_before_the_run_does() -> None:
    size = replace(SIZE, max_cost=10.0)
    works = look()
    memory = Memory(at=NOW, spending=Spending(10.0), drain=Drain("max_cost"))
    for _ in range(2 * EMPTY_LOOKS):
        memory = memory.after(works, size)
        assert not decide(works, size, memory).done
    quiet = replace(works, queue=QueueCounts(3, 0), desired=0)
    for _ in range(EMPTY_LOOKS - 1):
        memory = memory.after(quiet, size)
        assert not decide(quiet, size, memory).done
    memory = memory.after(quiet, size)
    assert decide(quiet, size, memory).stop == "max_cost"


def test_jobs_at_work_of_which_none_ends_stop_the_run() -> None:
    size = replace(SIZE, stall=timedelta(minutes=30))
    seen = look()
    memory = after(seen, size=size)
    almost = later(seen, timedelta(minutes=29))
    assert not decide(almost, size, memory.after(almost, size)).done
    still = later(seen, timedelta(minutes=30))
    assert "30 minutes" in decide(still, size, memory.after(still, size)).stop
    moved = replace(still, account=Account(frozenset("abcd"), frozenset("ab")))
    assert not decide(moved, size, memory.after(moved, size)).done
    waits = replace(still, queue=QueueCounts(3, 0))
    assert not decide(waits, size, memory.after(waits, size)).stop, "nothing is at work"


def test_a_job_may_take_its_job_timeout_before_any_has_ended() -> None:
    seen = look(account=Account(frozenset("abcd")))
    size = replace(SIZE, job_timeout=timedelta(hours=2))
    memory = after(seen, size=size)
    for time, stops in [(timedelta(hours=2), False), (timedelta(hours=2) + STALL_LEAST, True)]:
        still = later(seen, time)
        assert bool(decide(still, size, memory.after(still, size)).stop) == stops


def test_jobs_that_all_fail_alike_stop_the_run() -> None:
    size = replace(SIZE, alike_failures=3)
    failing = look(account=Account(frozenset("abcd"), failed=frozenset("abc")), alike="no_image")
    assert "no_image" in decided(failing, size, Memory()).stop
    assert not decided(failing, replace(size, alike_failures=4), Memory()).stop
    assert not decided(failing, replace(size, alike_failures=0), Memory()).stop
    assert not decided(failing, replace(size, ended_before=1), Memory()).stop, "some are old"
    assert Memory().after(replace(failing, alike=""), size).alike_failures.mixed
    assert not Memory().after(failing, size).alike_failures.mixed


def test_a_budget_counts_from_when_the_run_was_continued() -> None:
    size = replace(SIZE, max_cost=10.0)
    known = Memory().paid(Spend(usd=11.5, usd_an_hour=1.0), before=10.5)
    assert known.spending == Spending(1.0, 1.0)
    assert not decided(look(), size, known).finish
    assert "max_cost" in decided(look(), size, Memory().paid(Spend(usd=11.5))).stop
