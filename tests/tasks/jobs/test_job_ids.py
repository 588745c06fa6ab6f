"""A set of job ids is a set."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.jobs.job_ids import JobIds

IDS = st.binary(min_size=16, max_size=16).map(bytes.hex)
# Few first bytes, so that ids share a part.
SETS = st.frozensets(IDS | st.integers(0, 40).map(lambda number: f"{number % 3:02x}{number:030x}"))


@given(SETS, SETS)
def test_it_does_as_a_frozenset(one: frozenset[str], two: frozenset[str]) -> None:
    ones, twos = JobIds(one), JobIds([*two, *two])
    assert list(ones) == sorted(one)
    assert (len(ones), len(twos)) == (len(one), len(two))
    assert ones & twos == one & two
    assert ones - twos == one - two
    assert ones | twos == one | two
    assert ones & two == one & two
    assert ones - two == one - two
    assert two - ones == two - one
    assert [job_id in ones for job_id in two] == [job_id in one for job_id in two]
    assert bool(ones) == bool(one)


@pytest.mark.parametrize("other", ["", "ab", "A" * 32, "a" * 31 + "\n", " " + "a" * 31, "g" * 32])
def test_what_is_no_id_is_not_in_it(other: str) -> None:
    assert other not in JobIds(["a" * 32])
    with pytest.raises(ValueError, match="no job id"):
        JobIds([other])


def test_an_id_takes_about_16_bytes() -> None:
    jobs = 50_000
    tracemalloc.start()
    ids = JobIds(f"{number * 2654435761 % 2**32:08x}{number:024x}" for number in range(jobs))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ids) == jobs
    assert size < 20 * jobs
