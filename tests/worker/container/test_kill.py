"""SIGKILL at random moments: no job is lost, none is done by halves, nothing is left behind.

What is killed in turn, in an order that the seed decides: a slot's process, CellProfiler's, and
the whole container, which is then started again as ECS does.
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
# Undisturbed ones, of which some are the truth for all others, and all of them the pace.
CALM = 8
SLOTS = "2"
# Between two kills: mostly some jobs, so that there is progress on any machine; else some seconds,
# in which what was killed is about to start.
MOST_JOBS, MOST_SECONDS = 16, 5.0
SOONER = 0.25
# No job is given up, however often it is hit; a container that is killed returns no message, so
# that its jobs wait for the visibility timeout.
RETRIES = "1000"
VISIBILITY = "8"


KINDS = "slot", "cellprofiler", "container"


@dataclass
class Killer:
    """Kills the parts of a container, and starts it again when it has killed it all."""

    container: Container
    changes: dict[str, str]
    random: random.Random
    kills: list[tuple[float, str]] = field(default_factory=list)
    _bag: list[str] = field(default_factory=list)
    _jobs: int = 0
    _moment: float = 0.0

    def look(self, jobs: int) -> None:
        """Kill what is next when its moment has come, with so many jobs done in all."""
        if jobs >= self._jobs and not self._moment:
            self._moment = time.monotonic() + self.random.uniform(0, 1)
        if self._moment and time.monotonic() >= self._moment and self.strike():
            self._jobs, self._moment = jobs + self.random.randint(1, MOST_JOBS), 0.0
            if self.random.random() < SOONER:
                self._moment = time.monotonic() + self.random.uniform(0, MOST_SECONDS)

    def strike(self) -> bool:
        """Kill what is next; whether it was there."""
        container = self.container
        found = container.slots, container.cellprofilers, container.processes
        if not self._bag:
            self._bag = self.random.sample(KINDS, len(KINDS))
        kind = self._bag[-1]
        alive = sorted(found[KINDS.index(kind)]())
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
    """Messages for the plate's wells in turn, each with an output folder of its own."""
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
    """A job's files by name, without what differs from run to run: times and local folders."""
    prefix = f"{output}/{index}/{plate.PLATE}-{well(index)}/"
    files = {key[len(prefix) :]: cloud.text(key) for key in cloud.keys(prefix)}
    return {name: comparable(name, text) for name, text in files.items()}


def comparable(name: str, text: str) -> Any:
    rows = list(csv.reader(io.StringIO(text)))
    if name == "Experiment.csv":
        return [row for row in rows if "Timestamp" not in row[0]]
    if name == "Image.csv":
        own = ("ExecutionTime_", "PathName_", "URL_")
        kept = [index for index, column in enumerate(rows[0]) if not column.startswith(own)]
        return [[row[index] for index in kept] for row in rows]
    return text


def ends(records: list[dict[str, Any]]) -> list[float]:
    return sorted(datetime.fromisoformat(record["ended_at"]).timestamp() for record in records)


def lost(kills: list[tuple[float, str]], done: list[float], pace: float) -> dict[str, list[float]]:
    """Seconds lost by kill: from one to the next, what the jobs done then do not account for."""
    last = done[-1]
    seconds: dict[str, list[float]] = {}
    starts = [(at, kind) for at, kind in kills if at < last]
    for (at, kind), end in zip(starts, [at for at, _ in starts[1:]] + [last]):
        jobs = sum(at < one <= end for one in done)
        seconds.setdefault(kind, []).append(end - at - jobs * pace)
    return seconds


def show(capsys: pytest.CaptureFixture[str], *lines: str) -> None:
    """Print, whether the test passes or not."""
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, ""]))


def test_killed_at_moments_of_chance_every_job_is_done_once(
    aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_and_done_once(SEED, JOBS, tmp_path, capsys)


@pytest.mark.soak
def test_killed_at_any_moments_every_job_is_done_once(
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
        left = [str(path) for path in tmp_path.rglob("*") if path != container.log]
        assert left == [str(tmp_path / "tmp"), str(container.folder)]
    finally:
        wait_for(container.killed, "all its processes to end")
    disturbed = [end for end in ends(cloud.records()) if end > calm[-1]]
    show(capsys, *report(killer.kills, disturbed, pace))
    assert {kind for _, kind in killer.kills} == set(KINDS)
    assert_every_job_done_once(cloud, number)


def strike_until_done(cloud: Cloud, killer: Killer, number: int) -> None:
    """Kill until the last job is recorded, then wait until the queue has forgotten all."""

    def all_recorded() -> bool:
        jobs = len(cloud.keys(f"dcp/{cloud.name}/{RUN}/results/"))
        killer.look(jobs)
        return jobs == number

    wait_for(all_recorded, "all jobs to be recorded")
    wait_for(cloud.empty, "the queue to be empty")


def report(kills: list[tuple[float, str]], done: list[float], pace: float) -> Iterator[str]:
    """What the kills have cost; nothing is asserted of it, for others use the machine."""
    seconds = lost(kills, done, pace)
    seconds["all"] = [one for found in seconds.values() for one in found]
    yield f"{len(done)} jobs, {pace:.2f} s each undisturbed; seconds lost a kill, by kind:"
    for kind, found in sorted(seconds.items()):
        yield f"  {kind}: {sum(found) / len(found):.1f} ({len(found)} kills)"


def assert_every_job_done_once(cloud: Cloud, number: int) -> None:
    assert cloud.empty()
    assert cloud.dead_letters() == []
    records = cloud.records()
    assert [record["status"] for record in records] == ["succeeded"] * (CALM + number)
    by_output = {record["output"]: record for record in records}
    assert len(by_output) == CALM + number
    truth = [outputs(cloud, "calm", index) for index in range(len(plate.WELLS))]
    for index in range(number):
        found = outputs(cloud, "kill", index)
        assert found == truth[index % len(truth)]
        prefix = f"kill/{index}/{plate.PLATE}-{well(index)}/"
        sizes = [len(cloud.text(key).encode()) for key in cloud.keys(prefix)]
        record = by_output[prefix]
        assert (record["files"], record["bytes"]) == (len(sizes), sum(sizes))
