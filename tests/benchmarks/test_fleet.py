"""The fleet in virtual time: every policy completes the jobs, and ours ends soon after."""

from collections.abc import Callable

import pytest
from fleet_policies import dcp, ours, plain
from fleet_world import Scenario, SimulationResult, Trace, draw
from hypothesis import given, settings
from hypothesis import strategies as st

POLICIES: dict[str, Callable[[Trace], SimulationResult]] = {
    "ours": lambda trace: ours(trace, earlier=True),
    "first run": lambda trace: ours(trace, earlier=False),
    "plain": plain,
    "dcp": lambda trace: dcp(trace, from_receipt=True),
}

SCENARIOS = st.builds(
    Scenario,
    name=st.just("any"),
    jobs=st.integers(1, 80),
    machines=st.integers(2, 6),
    slots=st.integers(1, 4),
    interruptions=st.sampled_from([0.0, 5.0, 40.0]),
    late=st.sampled_from([0.0, 0.5]),
    bad=st.integers(0, 1),
)


@pytest.mark.parametrize("policy", POLICIES)
@given(scenario=SCENARIOS, seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_every_job_is_done_and_no_second_is_unpaid(
    policy: str, scenario: Scenario, seed: int
) -> None:
    outcome = POLICIES[policy](draw(scenario, seed, noise=0.2))
    assert 0 < outcome.utilisation < 1
    assert outcome.after >= 0


@given(scenario=SCENARIOS, seed=st.integers(0, 1000))
@settings(max_examples=100)
def test_nothing_of_ours_runs_two_minutes_after_the_last_job(scenario: Scenario, seed: int) -> None:
    for earlier in (True, False):
        assert ours(draw(scenario, seed, noise=0.2), earlier).after <= 120
