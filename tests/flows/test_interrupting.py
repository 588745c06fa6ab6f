"""Ctrl-C and SIGTERM at any moment of `dcp local run`: it ends, and nothing is left.

The moments follow from what a run has written, so that they are all over it however long it takes.
"""

import os
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked_run
import pytest
import yaml
from foundation import start
from left import left_in_account
from prefect.settings import get_current_settings
from waiting import wait_for

from blocks import RunConfig
from blocks.reading import parse_config
from deployments.examples.demo.make_plate import make_plate
from deployments.local.aws import Emulator
from deployments.local.worlds import credentials_of
from tasks import record
from tasks.aws import Aws
from tasks.run import Run

# The timeout is for a hang: how long it takes is the machine's business.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

DEMO = Path(__file__).parents[2] / "deployments" / "examples" / "demo"
SEED = 20260301
MOMENTS = 20
AT_A_TIME = 3
LONGEST_DELAY = 0.5  # seconds; about what a run takes from one line to the next


@dataclass(frozen=True)
class Moment:
    """When a run is interrupted: some time after it has written so many lines."""

    number: int
    lines: int
    delay: float
    signal: signal.Signals
    own_servers: bool


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    moment: Moment | None
    config: RunConfig
    interrupted: bool
    status: int | None
    told: str
    left: list[str]


class Runs:
    """Runs of the demo's plate, each of an app of its own."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.folder = folder
        self.emulator = emulator
        make_plate(folder / "data")

    def progress(self) -> list[int]:
        """Do a whole run; returns how many lines it had written whenever it wrote some."""
        seen = [0]
        whole = self.do(None, seen)
        assert whole.status == 0, whole.told
        return seen

    def do(self, moment: Moment | None, seen: list[int] | None = None) -> Ended:
        """Do a run, and interrupt it if a moment is given."""
        name = f"Moment{moment.number}" if moment else "Whole"
        own = self.folder / name
        own.mkdir()
        arguments = ["--config", str(self._config(name, own)), "--job", str(DEMO / "job.json")]
        arguments += ["--data", str(self.folder / "data"), "--output", str(own / "output")]
        emulator = None if moment and moment.own_servers else self.emulator
        process = forked_run.start(arguments, own, emulator)
        interrupted = moment is not None and self._interrupt(process, own / "told", moment)

        def ended() -> bool:
            if seen is not None and (now := lines(own / "told")) != seen[-1]:
                seen.append(now)
            return not process.is_alive()

        wait_for(ended, f"the end of {name}")
        return Ended(
            moment,
            parse_config((own / "config.yaml").read_text(), "config.yaml"),
            interrupted,
            process.exitcode,
            (own / "told").read_text(),
            [str(path) for path in (own / "scratch").iterdir()] + processes_of(own),
        )

    def _config(self, name: str, folder: Path) -> Path:
        values = yaml.safe_load((DEMO / "config.yaml").read_text())
        values |= {"app_name": name, "ecs_cluster": name, "log_group_name": name}
        values |= {"sqs_dead_letter_queue": f"{name}DeadMessages", "monitor_seconds": 1}
        values |= {"aws_bucket": name.lower()}
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    def _interrupt(self, process: Any, told: Path, moment: Moment) -> bool:
        """Send the signal when its moment has come; whether the run had not ended before."""
        wait_for(
            lambda: lines(told) >= moment.lines or not process.is_alive(),
            f"line {moment.lines} of run {moment.number}",
        )
        process.join(moment.delay)
        running = process.is_alive()
        if running:
            os.kill(process.pid, moment.signal)
        return running


def lines(file: Path) -> int:
    """The number of lines of a file."""
    return file.read_bytes().count(b"\n")


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that have a folder's path in theirs."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = one.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if str(folder).encode() in line:
            found.append(line.decode(errors="replace"))
    return found


def moments(seed: int, progress: list[int]) -> list[Moment]:
    """Moments all over a run, from its begin to its last line."""
    drawn = random.Random(seed)
    found = []
    for number in range(MOMENTS):
        at = (number + drawn.random()) / MOMENTS * len(progress)
        found.append(
            Moment(
                number,
                progress[int(at)],
                drawn.uniform(0, LONGEST_DELAY),
                drawn.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM]),
                own_servers=number in (0, 1, MOMENTS - 1),
            )
        )
    return found


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """An account of its own: nothing at all may be left in it."""
    with start(tmp_path / "aws") as running:
        yield running


@pytest.fixture
def runs(
    prefect: None, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Runs:
    monkeypatch.setenv("PREFECT_API_URL", str(get_current_settings().api.url))
    return Runs(tmp_path, emulator)


@pytest.mark.parametrize("seed", [SEED])
def test_a_run_that_is_interrupted_at_any_moment_leaves_nothing(runs: Runs, seed: int) -> None:
    progress = runs.progress()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        ended = list(pool.map(runs.do, moments(seed, progress)))
    for one in ended:
        about = f"{one.moment}\n{one.told}"
        assert not one.left, about
        if one.interrupted:
            assert one.status != 0, about
            assert "Traceback" not in one.told, about
            assert state(runs, one) in ("", "ended"), about
    assert sum(one.interrupted for one in ended) >= MOMENTS - 2
    aws = Aws.connect(credentials_of(runs.emulator, "us-east-1"), "us-east-1")
    assert left_in_account(aws, runs.emulator) == []


def state(runs: Runs, ended: Ended) -> str:
    """The state in the record of a run; "" if it has none, or had its own emulator."""
    if ended.moment is None or ended.moment.own_servers:
        return ""
    region = ended.config.aws_region
    aws = Aws.connect(credentials_of(runs.emulator, region), region)
    run_id = record.latest_id(aws, ended.config)
    kept = record.load(Run(ended.config, run_id, aws)) if run_id else None
    return kept.state if kept else ""
