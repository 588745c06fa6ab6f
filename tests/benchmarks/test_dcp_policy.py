"""What Distributed-CellProfiler would do."""

from dcp_policy import dcp_done, dcp_target
from hypothesis import given
from hypothesis import strategies as st

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
