"""When to prefetch the next job, and whether a job can finish in time."""

from __future__ import annotations

from dcp_worker.diagnosis.diagnose import Diagnosis
from dcp_worker.slot.health import MachineHealth, is_unfit, pause_seconds
from dcp_worker.slot.job_timing import can_finish, enough_for_all, prefetch_after
from hypothesis import given
from hypothesis import strategies as st

SECONDS = st.floats(0, 50_000, allow_nan=False)
SOME = st.lists(SECONDS, max_size=5)


@given(SOME, SOME)
def test_the_next_job_is_prefetched_shortly_before_the_end(
    computing: list[float], fetching: list[float]
) -> None:
    at = prefetch_after(computing, fetching)
    assert at >= 0
    if computing and at > 0:
        left = min(computing) - at
        assert left >= max(5, *fetching, 0)
        assert left <= max(5, 3 * max(fetching, default=0)) + 1e-6


def test_without_earlier_jobs_the_next_job_is_prefetched_at_once() -> None:
    assert prefetch_after([], []) == 0
    assert prefetch_after([3], [1]) == 0
    assert prefetch_after([60, 70], [1]) == 55


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_working_slot_leaves_a_message_for_every_slot_that_works(
    visible: int, in_flight: int
) -> None:
    if enough_for_all(visible, in_flight):
        assert visible - 1 >= max(1, in_flight)


@given(SECONDS, SOME, st.floats(-10, 200, allow_nan=False))
def test_no_job_gets_more_time_than_remains(
    elapsed: float, computing: list[float], left: float
) -> None:
    may = can_finish(elapsed, computing, left)
    if left <= 0:
        assert not may
    elif not computing or elapsed >= max(computing):
        assert may
    else:
        assert may == (min(computing) <= elapsed + left)


def fault(code: str) -> Diagnosis:
    return Diagnosis(code, "A fault.")


@given(st.integers(1, 100))
def test_a_slot_pauses_longer_after_each_fault_of_its_machine(faults: int) -> None:
    assert 15 <= pause_seconds(faults) <= pause_seconds(faults + 1) <= 300
    assert pause_seconds(0) == 0


def test_a_full_disk_stops_a_slot() -> None:
    assert is_unfit(fault("disk_full"), 1, succeeded=True)


@given(st.integers(1, 100), st.booleans())
def test_a_failing_network_does_not_stop_a_slot(faults: int, succeeded: bool) -> None:
    assert not is_unfit(fault("s3_unreachable"), faults, succeeded)


def test_a_slot_stops_if_its_first_jobs_fail_through_the_machine() -> None:
    health = MachineHealth()
    for _ in range(3):
        assert not health.reason
        health.record(fault("machine_error"))
    assert health.reason
    assert health.pausing


def test_a_slot_with_a_success_only_pauses() -> None:
    health = MachineHealth()
    health.record(None)
    for _ in range(10):
        health.record(fault("machine_error"))
    assert not health.reason
    assert health.pausing


def test_a_fault_of_the_job_does_not_count_against_the_machine() -> None:
    health = MachineHealth()
    for _ in range(10):
        health.record(fault("timeout"))
        health.record(fault("image_missing"))
    assert not health.reason
    assert not health.pausing
