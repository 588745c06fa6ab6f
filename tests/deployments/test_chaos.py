"""With every possible fault, each job has its correct result, and nothing is left.

`benchmarks/chaos.py` runs any seeds, with any number of jobs.
"""

import random
import sys
from pathlib import Path

import pytest
from chaos import chaos_run
from prefect_site import prefect_site

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("chaos")]

SEED, JOBS = 11, 40
MOST_OF_A_LOG = 6000  # characters from its end, in a failure


def whatever_breaks(seed: int, jobs: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with prefect_site(folder / "prefect") as site:
        result = chaos_run(site, seed, folder, jobs)
    with capsys.disabled():
        sys.stdout.write(f"\n{result}\n")
    assert result.strikes
    logs = "\n".join(
        f"{path.name}:\n{path.read_text(errors='replace')[-MOST_OF_A_LOG:]}"
        for path in sorted((folder / "prefect").glob("*.log"))
    )
    assert not result.wrong, "\n".join([*result.wrong, f"{result}", logs])


def test_nothing_is_lost_doubled_or_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whatever_breaks(SEED, JOBS, tmp_path, capsys)


@pytest.mark.soak
@pytest.mark.parametrize("turn", range(4))
def test_nothing_is_lost_doubled_or_left_by_any_chance(
    turn: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whatever_breaks(random.SystemRandom().randrange(10**6), 300, tmp_path, capsys)
