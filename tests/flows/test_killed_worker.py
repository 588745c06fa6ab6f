"""A worker killed in mid-job, with the real worker and the real CellProfiler."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from lab import Lab
from waiting import wait_for

from deployments.examples.demo.make_plate import LOAD_DATA, PIPELINE, PLATE, make_plate
from deployments.local.bucket_folders import fill_bucket
from deployments.local.emulator_client import Emulator, start_emulator
from deployments.local.environment import worker_python
from flows.full_run import dcp
from tasks.lifecycle.leftovers import left_running
from tasks.runs import record

pytestmark = pytest.mark.e2e


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Emulator]:
    with start_emulator(tmp_path / "aws", worker_python()) as running:
        yield running


def kill_one_at_work(emulator: Emulator, killed: list[str]) -> None:
    """Kill the first container that says it has a job, by protecting itself."""

    def at_work() -> list[str]:
        return [one["task_id"] for one in emulator.containers() if one["protected"]]

    first, *_ = wait_for(at_work, "a container at work")
    emulator.kill_container(first)
    killed.append(first)


def test_the_job_of_a_killed_worker_is_done_by_another(
    make_lab: Callable[..., Lab], real: Emulator, tmp_path: Path
) -> None:
    lab = make_lab(real.endpoint_url, cluster_machines=1, tasks_per_machine=2, memory=4000)
    make_plate(tmp_path / "data")
    fill_bucket(lab.aws.s3, lab.settings.aws_bucket, tmp_path / "data")
    groups = [
        {"Metadata": f"Metadata_Plate={PLATE},Metadata_Well={well},Metadata_Site=1"}
        for well in ("A01", "A02", "A03", "A04")
    ]
    job = {"pipeline": PIPELINE, "data_file": LOAD_DATA, "input": "", "output": "out"}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job | {"groups": groups}))
    killed: list[str] = []
    killer = threading.Thread(target=kill_one_at_work, args=(real, killed))
    killer.start()
    state = dcp(lab.config, str(tmp_path / "job.yaml"), return_state=True)
    killer.join()
    assert killed
    assert state.message == "4 jobs: 4 succeeded, 0 skipped, 0 failed, 0 lost"
    folders: dict[str, list[str]] = {}
    for key in lab.outputs():
        _, folder, name = key.split("/")
        folders.setdefault(folder, []).append(name)
    assert len(folders) == 4
    assert len({tuple(sorted(names)) for names in folders.values()}) == 1, "all the same, once"
    assert left_running(lab.run()) == []
    kept = record.load(lab.run())
    assert kept is not None
    assert kept.jobs == 4
