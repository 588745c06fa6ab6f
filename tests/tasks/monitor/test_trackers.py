"""What the trackers say is what the whole history of observations says."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile

from hypothesis import given
from hypothesis import strategies as st

from tasks.cost.spend import Spend
from tasks.jobs.queues import QueueCounts
from tasks.jobs.results import Account
from tasks.monitor.observation import Observation
from tasks.monitor.trackers import (
    EMPTY_LOOKS,
    AlikeFailures,
    Drain,
    EmptyQueue,
    FirstMachine,
    Idle,
    Memory,
    NoFleet,
    Progress,
    Spending,
    UselessMachines,
)
from tasks.runs.limits import Limits

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIZE = Limits(
    machines=3,
    tasks_per_machine=1,
    cores=2,
    ends_at=NOW + timedelta(hours=10),
    alike_failures=2,
)
MACHINES = ("i-0", "i-1", "i-2")
JOBS = frozenset("abcdef")


@st.composite
def histories(draw: st.DrawFn) -> list[Observation]:
    """Observations one after the other; results only become more."""
    at, done, found = NOW, frozenset[str](), []
    for _ in range(draw(st.integers(1, 8))):
        at += timedelta(seconds=draw(st.floats(0, 600)))
        done |= draw(st.frozensets(st.sampled_from(sorted(JOBS)), max_size=2))
        machines = {
            one: draw(st.integers(0, 1)) for one in draw(st.sets(st.sampled_from(MACHINES)))
        }
        counts = st.builds(QueueCounts, st.integers(0, 2), in_flight=st.integers(0, 2))
        found.append(
            Observation(
                at=at,
                queue=draw(st.none() | counts),
                account=Account(JOBS, failed=done),
                fleets=draw(st.integers(0, 1)),
                machines=machines,
                joined=frozenset(one for one in machines if machines[one] or draw(st.booleans())),
                desired=draw(st.integers(0, 3)),
                running=draw(st.integers(0, 3)),
                alike=draw(st.sampled_from(["", "image_missing"])),
            )
        )
    return found


def remembered(history: Sequence[Observation]) -> Memory:
    memory = Memory()
    for seen in history:
        memory = memory.after(seen, SIZE)
    return memory


def streak(
    history: Sequence[Observation], holds: Callable[[Observation], object]
) -> list[Observation]:
    """The newest observations for all of which it holds, the oldest first."""
    return list(takewhile(holds, reversed(history)))[::-1]


def began(observations: Sequence[Observation]) -> datetime | None:
    return observations[0].at if observations else None


def works(seen: Observation) -> int:
    return seen.at_work(SIZE.cores)


@given(histories())
def test_a_condition_lasts_from_the_first_observation_of_its_last_streak(
    history: list[Observation],
) -> None:
    memory = remembered(history)
    empty = streak(history, lambda one: one.account.open and not (one.queue and one.queue.total))
    assert memory.empty_queue == EmptyQueue(len(empty), began(empty))
    idle = streak(
        history, lambda one: one.queue and one.queue.waiting and one.machines and not one.running
    )
    assert memory.idle == Idle(began(idle))
    alone = streak(history, lambda one: not one.fleets)
    assert memory.no_fleet == NoFleet(began(alone))
    assert memory.at == history[-1].at


@given(histories())
def test_a_machine_is_useless_while_it_alone_has_no_container(history: list[Observation]) -> None:
    expected = {}
    for machine in MACHINES:

        def useless(one: Observation, machine: str = machine) -> bool:
            excused = not one.running and machine in one.joined
            wanted = one.running < one.desired
            return wanted and one.machines.get(machine) == 0 and not excused

        since = began(streak(history, useless))
        if since is not None:
            expected[machine] = since
    assert remembered(history).useless_machines == UselessMachines(expected)


@given(histories())
def test_progress_is_what_became_of_the_jobs(history: list[Observation]) -> None:
    first, last = history[0], history[-1]
    steps = [first.at]
    for before, seen in pairwise(history):
        ended = seen.account.ended > before.account.ended
        if ended or seen.in_queue < before.in_queue or not works(seen):
            steps.append(seen.at)
    worked = sum(
        works(seen) * (seen.at - before.at).total_seconds() for before, seen in pairwise(history)
    )
    assert remembered(history).progress == Progress(
        first_ended=first.account.ended,
        ended=last.account.ended,
        in_queue=last.in_queue,
        progress_at=steps[-1],
        work_seconds=worked,
    )


@given(histories())
def test_what_has_once_been_is_never_forgotten(history: list[Observation]) -> None:
    memory = remembered(history)
    assert memory.first_machine == FirstMachine(began([one for one in history if one.machines]))
    mixed = any(one.account.ended >= SIZE.alike_failures and not one.alike for one in history)
    assert memory.alike_failures == AlikeFailures(mixed)


@given(histories(), histories())
def test_a_drain_is_quiet_from_its_begin_on(
    before: list[Observation], after: list[Observation]
) -> None:
    memory = remembered(before)
    assert memory.drain == Drain()
    memory = memory.draining("max_cost").draining("")
    for seen in after:
        memory = memory.after(seen, SIZE)
    quiet = streak(after, lambda one: not works(one))
    assert memory.drain == Drain("max_cost", len(quiet))
    done = len(quiet) >= EMPTY_LOOKS or not after[-1].running
    assert memory.drain.complete(after[-1]) == done


@given(st.lists(st.builds(Spend, usd=st.none() | st.floats(0, 9), usd_an_hour=st.floats(0, 9))))
def test_the_last_known_cost_counts(estimates: list[Spend]) -> None:
    memory = Memory()
    for one in estimates:
        memory = memory.paid(one, before=1.0)
    known = [Spending(one.usd - 1.0, one.usd_an_hour) for one in estimates if one.usd is not None]
    assert memory.spending == (known[-1] if known else Spending())
