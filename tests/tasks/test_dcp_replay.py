"""A run gone through again under Distributed-CellProfiler's policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paid_machines import machine

from tasks.dcp_policy import IDLE_SECONDS, JOB_SECONDS, SLOT_START_SECONDS, TICK_SECONDS
from tasks.dcp_replay import Trace, replay, trace_of
from tasks.limits import START_SECONDS


def trace(*jobs: float, **changes: object) -> Trace:
    given: dict[str, object] = {
        "jobs": jobs,
        "launches": [0.0],
        "losses": [],
        "machines": 1,
        "containers": 1,
        "cores": 1,
        "visibility": 7200.0,
    }
    return Trace(**(given | changes))  # type: ignore[arg-type]


def whole_minutes(seconds: float) -> float:
    return -(-seconds // TICK_SECONDS) * TICK_SECONDS


def test_a_slot_does_job_after_job_and_the_monitor_sees_the_end_at_its_next_look() -> None:
    found = replay(trace(100, 200, 300))
    seconds = whole_minutes(START_SECONDS + 600 + 3 * JOB_SECONDS)
    assert found.machine_hours == found.hours == pytest.approx(seconds / 3600)


def test_slots_of_a_container_start_apart() -> None:
    found = replay(trace(1000, 1000, cores=2))
    seconds = whole_minutes(START_SECONDS + SLOT_START_SECONDS + 1000 + JOB_SECONDS)
    assert found.hours == pytest.approx(seconds / 3600)


def test_a_machine_without_work_stays_for_its_alarm() -> None:
    found = replay(trace(10, 5000, machines=2, launches=[0.0, 0.0]))
    busy = whole_minutes(START_SECONDS + 5000 + JOB_SECONDS)
    idle = START_SECONDS + 10 + JOB_SECONDS + IDLE_SECONDS
    assert found.machine_hours == pytest.approx((busy + idle) / 3600)


def test_the_job_of_a_lost_machine_is_hidden_and_its_successor_boots_anew() -> None:
    lost_at = START_SECONDS + 500
    found = replay(trace(1000, losses=[lost_at]))
    again = START_SECONDS + 7200
    assert found.jobs_lost == 1
    assert found.hours >= (again + 1000 + JOB_SECONDS) / 3600
    assert found.machine_hours > 1, "a machine waits while the job is hidden, or is replaced"


traces = st.builds(
    trace_of,
    st.lists(st.floats(0, 5000), min_size=1, max_size=60),
    st.lists(
        st.builds(machine, st.floats(0.01, 3), begin=st.floats(0, 2), interrupted=st.booleans()),
        min_size=1,
        max_size=6,
    ),
    most=st.integers(1, 6),
    containers=st.integers(1, 3),
    cores=st.integers(1, 4),
    visibility=st.floats(15, 7200),
)


@given(traces)
def test_any_trace_comes_to_an_end_and_takes_at_least_its_work(found: Trace) -> None:
    assert len(found.launches) == found.machines
    after = replay(found)
    slots = found.machines * found.containers * found.cores
    work = sum(found.jobs) + JOB_SECONDS * len(found.jobs)
    assert after.machine_hours * 3600 * found.containers * found.cores >= work - 1e-6
    assert after.hours * 3600 >= work / slots + START_SECONDS - 1e-6
    assert after.jobs_lost <= len(found.losses) * found.containers * found.cores


def test_a_large_run_is_gone_through_quickly() -> None:
    jobs = [60.0 + number % 600 for number in range(100_000)]
    found = replay(trace(*jobs, launches=[0.0] * 100, machines=100, cores=4, losses=[3600.0] * 5))
    work = sum(jobs) + JOB_SECONDS * len(jobs)
    assert found.machine_hours * 4 * 3600 == pytest.approx(work, rel=0.02)
