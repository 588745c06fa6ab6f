"""When to prefetch the next job, and whether a job can finish in time."""

from __future__ import annotations

from dcp_worker.diagnosis.diagnose import Diagnosis
from dcp_worker.slot.health import Fitness, rest, unfit
from dcp_worker.slot.job_timing import can_end, fetch_at, plenty
from hypothesis import given
from hypothesis import strategies as st

SECONDS = st.floats(0, 50_000, allow_nan=False)
SOME = st.lists(SECONDS, max_size=5)


@given(SOME, SOME)
def test_the_next_job_is_fetched_before_the_end_and_not_long_before(
    computing: list[float], fetching: list[float]
) -> None:
    at = fetch_at(computing, fetching)
    assert at >= 0
    if computing and at > 0:
        left = min(computing) - at
        assert left >= max(5, *fetching, 0)
        assert left <= max(5, 3 * max(fetching, default=0)) + 1e-6


def test_without_experience_the_next_job_is_fetched_at_once() -> None:
    assert fetch_at([], []) == 0
    assert fetch_at([3], [1]) == 0
    assert fetch_at([60, 70], [1]) == 55


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_working_slot_leaves_a_message_for_every_slot_that_works(
    visible: int, in_flight: int
) -> None:
    if plenty(visible, in_flight):
        assert visible - 1 >= max(1, in_flight)


@given(SECONDS, SOME, st.floats(-10, 200, allow_nan=False))
def test_no_job_is_given_time_that_is_not_there(
    elapsed: float, computing: list[float], left: float
) -> None:
    may = can_end(elapsed, computing, left)
    if left <= 0:
        assert not may
    elif not computing or elapsed >= max(computing):
        assert may
    else:
        assert may == (min(computing) <= elapsed + left)


def fault(code: str) -> Diagnosis:
    return Diagnosis(code, "A fault.")


@given(st.integers(1, 100))
def test_a_slot_rests_longer_after_each_fault_of_its_machine(faults: int) -> None:
    assert 15 <= rest(faults) <= rest(faults + 1) <= 300
    assert rest(0) == 0


def test_a_full_disk_is_the_end_of_a_slot() -> None:
    assert unfit(fault("disk_full"), 1, succeeded=True)


@given(st.integers(1, 100), st.booleans())
def test_a_network_that_fails_is_no_reason_to_end_a_slot(faults: int, succeeded: bool) -> None:
    assert not unfit(fault("s3_unreachable"), faults, succeeded)


def test_a_slot_whose_first_jobs_fail_by_its_machine_takes_no_more() -> None:
    fitness = Fitness()
    for _ in range(3):
        assert not fitness.reason
        fitness.note(fault("machine_error"))
    assert fitness.reason
    assert fitness.resting


def test_a_slot_that_has_done_a_job_only_rests() -> None:
    fitness = Fitness()
    fitness.note(None)
    for _ in range(10):
        fitness.note(fault("machine_error"))
    assert not fitness.reason
    assert fitness.resting


def test_a_fault_of_the_job_says_nothing_of_the_machine() -> None:
    fitness = Fitness()
    for _ in range(10):
        fitness.note(fault("timeout"))
        fitness.note(fault("image_missing"))
    assert not fitness.reason
    assert not fitness.resting
