"""What Distributed-CellProfiler would do."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.dcp_policy import dcp_done, dcp_slot_starts, dcp_target

COUNTS = st.integers(0, 500)


@given(COUNTS, st.integers(1, 500), COUNTS, COUNTS)
def test_a_target_stays_while_messages_wait(
    target: int, waiting: int, in_flight: int, machines: int
) -> None:
    assert dcp_target(target, waiting, in_flight, machines) == target
    assert not dcp_done(waiting, in_flight)


@given(COUNTS, COUNTS, COUNTS)
def test_a_target_follows_the_messages_in_flight_and_only_down(
    target: int, in_flight: int, machines: int
) -> None:
    found = dcp_target(target, 0, in_flight, machines)
    assert found == (in_flight if in_flight < machines else target)
    assert dcp_done(0, in_flight) == (in_flight == 0)


def test_the_slots_of_a_container_start_one_after_the_other() -> None:
    assert list(dcp_slot_starts(240, cores=3)) == [240, 420, 600]
    assert list(dcp_slot_starts(0, cores=2, containers=2, apart=60)) == [0, 0, 60, 60]
