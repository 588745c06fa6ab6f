"""`memory.json`: one flat object, whichever version of dcp wrote it."""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.monitor import state
from tasks.monitor.trackers import (
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
from tasks.runs import record
from tasks.runs.run import Run

# As version 0.1.0 wrote it, when all was one class.
RECORDED = """{
 "at": "2026-03-01T12:10:00Z",
 "empty_looks": 2,
 "empty_since": "2026-03-01T12:09:00Z",
 "idle_since": null,
 "alone_since": null,
 "machines_since": "2026-03-01T12:02:00Z",
 "useless": {
  "i-0a1": "2026-03-01T12:05:00Z"
 },
 "first_ended": 1,
 "ended": 14,
 "in_queue": 0,
 "progress_at": "2026-03-01T12:09:30Z",
 "work_seconds": 812.5,
 "spent": 1.25,
 "usd_an_hour": 0.4,
 "mixed": true,
 "finishing": "the run has reached its max_cost: 1.25 USD spent",
 "quiet_looks": 1,
 "told": [
  "dcp.run.started"
 ]
}"""


def at(minute: int, second: int = 0) -> datetime:
    return datetime(2026, 3, 1, 12, minute, second, tzinfo=UTC)


def test_the_memory_of_a_run_begun_by_the_version_before_is_read(
    make_run: Callable[..., Run],
) -> None:
    run = make_run()
    record.put(run, record.MEMORY, RECORDED)
    found = state.recall(run)
    assert found == Memory(
        at=at(10),
        told=frozenset({"dcp.run.started"}),
        empty_queue=EmptyQueue(2, at(9)),
        first_machine=FirstMachine(at(2)),
        useless_machines=UselessMachines({"i-0a1": at(5)}),
        progress=Progress(1, 14, 0, at(9, 30), 812.5),
        spending=Spending(1.25, 0.4),
        alike_failures=AlikeFailures(True),
        drain=Drain("the run has reached its max_cost: 1.25 USD spent", 1),
    )
    state.keep(run, found)
    written = record.read(run, record.MEMORY)
    assert written is not None
    assert json.loads(written) == json.loads(RECORDED), "and that version reads what this one wrote"


def test_unknown_keys_are_ignored_and_missing_ones_have_their_defaults() -> None:
    assert state.from_keys({"spent": 2.0, "of_a_later_version": 1}) == Memory(
        spending=Spending(2.0)
    )


def test_each_key_belongs_to_one_field() -> None:
    own = [one for one in fields(Memory) if not is_dataclass(one.default)]
    trackers: list[Any] = [one.default for one in fields(Memory) if is_dataclass(one.default)]
    names = [one.name for one in (*own, *(part for one in trackers for part in fields(one)))]
    assert len(names) == len(set(names))
    assert set(state.as_keys(Memory())) == set(names)


TIMES = st.none() | st.integers(0, 10**6).map(lambda one: at(0) + timedelta(milliseconds=one))
MEMORIES = st.builds(
    Memory,
    at=TIMES,
    told=st.frozensets(st.text(max_size=3)),
    empty_queue=st.builds(EmptyQueue, st.integers(0, 9), TIMES),
    idle=st.builds(Idle, TIMES),
    no_fleet=st.builds(NoFleet, TIMES),
    first_machine=st.builds(FirstMachine, TIMES),
    spending=st.builds(Spending, st.none() | st.floats(0, 99), st.floats(0, 9)),
    drain=st.builds(Drain, st.text(max_size=9), st.integers(0, 9)),
)


@given(MEMORIES)
def test_what_is_written_is_read_back(found: Memory) -> None:
    assert state.from_keys(json.loads(json.dumps(state.as_keys(found)))) == found
