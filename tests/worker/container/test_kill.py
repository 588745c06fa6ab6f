"""SIGKILL at random moments: no job is lost or only half done, and no file or process remains.

The test kills in turn, in an order from the seed: a slot's process, CellProfiler's process, and the
whole container, which it then starts again, as ECS does.
"""

from __future__ import annotations

import csv
import io
import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_for

import plate
from cloud import RUN, Cloud, Container, job_message

pytestmark = pytest.mark.e2e

SEED, JOBS = 5, 40
# Undisturbed jobs: their outputs are the expected ones, and their times give the pace.
CALM = 8
SLOTS = "2"
# Between two kills: usually some jobs, for progress on any machine; sometimes a few seconds, while
# the killed process starts again.
MOST_JOBS, MOST_SECONDS = 16, 5.0
SOONER = 0.25
# No job fails for good, however often it is hit. A killed container returns no messages, so its
# jobs wait for the visibility timeout.
RETRIES = "1000"
VISIBILITY = "8"


KINDS = "slot", "cellprofiler", "container"


@dataclass
class Killer:
    """Kills parts of a container, and restarts the container after killing all of it."""

    container: Container
    changes: dict[str, str]
    random: random.Random
    kills: list[tuple[float, str]] = field(default_factory=list)
    _bag: list[str] = field(default_factory=list)
    _jobs: int = 0
    _moment: float = 0.0

    def look(self, jobs: int) -> None:
        """Kill the next target if it is due, after `jobs` completed jobs in all."""
        if jobs >= self._jobs and not self._moment:
            self._moment = time.monotonic() + self.random.uniform(0, 1)
        if self._moment and time.monotonic() >= self._moment and self.strike():
            self._jobs, self._moment = jobs + self.random.randint(1, MOST_JOBS), 0.0
            if self.random.random() < SOONER:
                self._moment = time.monotonic() + self.random.uniform(0, MOST_SECONDS)

    def strike(self) -> bool:
        """Kill the next target; returns whether it was alive."""
        container = self.container
        listings = container.slots, container.cellprofilers, container.processes
        if not self._bag:
            self._bag = self.random.sample(KINDS, len(KINDS))
        kind = self._bag[-1]
        alive = sorted(listings[KINDS.index(kind)]())
        if not alive:
            return False
        self._bag.pop()
        self.kills.append((time.time(), kind))
        if kind == "container":
            self.container.kill(signal.SIGKILL)
            wait_for(self.container.killed, "the container's processes to end")
            assert self.container.process is not None
            self.container.process.wait()
            self.container.start(**self.changes)
        else:
            os.kill(self.random.choice(alive), signal.SIGKILL)
        return True


def jobs(output: str, number: int) -> list[str]:
    """Messages for the plate's wells in turn, each with its own output folder."""
    return [
        job_message(
            Metadata=f"Metadata_Plate={plate.PLATE},Metadata_Well={well(index)}",
            output=f"{output}/{index}",
            job_id=uuid.uuid5(uuid.NAMESPACE_URL, f"{output}/{index}").hex,
        )
        for index in range(number)
    ]


def well(index: int) -> str:
    return plate.WELLS[index % len(plate.WELLS)]


def outputs(cloud: Cloud, output: str, index: int) -> dict[str, Any]:
    """A job's files by name, without times and local folders, which differ between runs."""
    prefix = f"{output}/{index}/{plate.PLATE}-{well(index)}/"
    files = {key[len(prefix) :]: cloud.text(key) for key in cloud.keys(prefix)}
    return {name: comparable(name, text) for name, text in files.items()}


def comparable(name: str, text: str) -> Any:
    rows = list(csv.reader(io.StringIO(text)))
    if name == "Experiment.csv":
        return [row for row in rows if "Timestamp" not in row[0]]
    if name == "Image.csv":
        varying = ("ExecutionTime_", "PathName_", "URL_")
        stable = [index for index, column in enumerate(rows[0]) if not column.startswith(varying)]
        return [[row[index] for index in stable] for row in rows]
    return text


def ends(records: list[dict[str, Any]]) -> list[float]:
    return sorted(datetime.fromisoformat(record["ended_at"]).timestamp() for record in records)


def lost(kills: list[tuple[float, str]], done: list[float], pace: float) -> dict[str, list[float]]:
    """Seconds lost by kill: the time until the next kill minus the time for the jobs done then."""
    last = done[-1]
    seconds: dict[str, list[float]] = {}
    starts = [(at, kind) for at, kind in kills if at < last]
    for (at, kind), end in zip(starts, [at for at, _ in starts[1:]] + [last]):
        jobs = sum(at < moment <= end for moment in done)
        seconds.setdefault(kind, []).append(end - at - jobs * pace)
    return seconds


def show(capsys: pytest.CaptureFixture[str], *lines: str) -> None:
    """Print, even if the test passes."""
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, ""]))


def test_after_kills_at_seeded_random_times_every_job_is_done_once(
    aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_and_done_once(SEED, JOBS, tmp_path, capsys)


@pytest.mark.soak
def test_after_kills_at_random_times_every_job_is_done_once(
    aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_and_done_once(random.SystemRandom().randrange(10**6), 200, tmp_path, capsys)


def killed_and_done_once(
    seed: int, number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(capsys, f"seed {seed}")
    cloud = Cloud.make(f"t{uuid.uuid4().hex[:10]}", receives=int(RETRIES))
    cloud.put_plate()
    changes = {
        "DOCKER_CORES": SLOTS,
        "JOB_RETRIES": RETRIES,
        "SQS_MESSAGE_VISIBILITY": VISIBILITY,
        "TMPDIR": str(tmp_path / "tmp"),
    }
    (tmp_path / "tmp").mkdir()
    container = Container(cloud, tmp_path / "work")
    killer = Killer(container, changes, random.Random(seed))
    try:
        container.start(**changes)
        calm = ends(cloud.work_off(*jobs("calm", CALM)))
        pace = (calm[-1] - calm[0]) / (CALM - 1)
        for body in jobs("kill", number):
            cloud.send(body)
        strike_until_done(cloud, killer, CALM + number)
        assert container.stop() == 0
        remaining = [str(path) for path in tmp_path.rglob("*") if path != container.log]
        assert remaining == [str(tmp_path / "tmp"), str(container.folder)]
    finally:
        wait_for(container.killed, "all its processes to end")
    disturbed = [end for end in ends(cloud.records()) if end > calm[-1]]
    show(capsys, *report(killer.kills, disturbed, pace))
    assert {kind for _, kind in killer.kills} == set(KINDS)
    assert_every_job_done_once(cloud, number)


def strike_until_done(cloud: Cloud, killer: Killer, number: int) -> None:
    """Kill until the last job is recorded, then wait until the queue is empty."""

    def all_recorded() -> bool:
        jobs = len(cloud.keys(f"dcp/{cloud.name}/{RUN}/results/"))
        killer.look(jobs)
        return jobs == number

    wait_for(all_recorded, "all jobs to be recorded")
    wait_for(cloud.empty, "the queue to be empty")


def report(kills: list[tuple[float, str]], done: list[float], pace: float) -> Iterator[str]:
    """The cost of the kills; not asserted, because other processes use the machine too."""
    seconds = lost(kills, done, pace)
    seconds["all"] = [loss for losses in seconds.values() for loss in losses]
    yield f"{len(done)} jobs, {pace:.2f} s each undisturbed; seconds lost per kill, by kind:"
    for kind, losses in sorted(seconds.items()):
        yield f"  {kind}: {sum(losses) / len(losses):.1f} ({len(losses)} kills)"


def assert_every_job_done_once(cloud: Cloud, number: int) -> None:
    assert cloud.empty()
    assert cloud.dead_letters() == []
    records = cloud.records()
    assert [record["status"] for record in records] == ["succeeded"] * (CALM + number)
    by_output = {record["output"]: record for record in records}
    assert len(by_output) == CALM + number
    truth = [outputs(cloud, "calm", index) for index in range(len(plate.WELLS))]
    for index in range(number):
        assert outputs(cloud, "kill", index) == truth[index % len(truth)]
        prefix = f"kill/{index}/{plate.PLATE}-{well(index)}/"
        sizes = [len(cloud.text(key).encode()) for key in cloud.keys(prefix)]
        record = by_output[prefix]
        assert (record["files"], record["bytes"]) == (len(sizes), sum(sizes))
