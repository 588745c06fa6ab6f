"""Everything breaks that can, and every job has its one right result, and nothing is left.

`DCP_CHAOS_SEED` repeats an order of events; `benchmarks/chaos.py` runs several, with more jobs.
"""

import os
import random
import sys
from pathlib import Path

import pytest
from chaos import chaos_run
from prefect_site import prefect_site

pytestmark = pytest.mark.e2e

JOBS = 100


@pytest.mark.timeout(600)
def test_nothing_is_lost_doubled_or_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("DCP_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    with prefect_site(tmp_path / "prefect") as site:
        told = chaos_run(site, seed, tmp_path, JOBS)
    with capsys.disabled():
        sys.stdout.write(f"\nDCP_CHAOS_SEED={seed}: {told}\n")
    assert told.strikes
    assert told.wrong == []
