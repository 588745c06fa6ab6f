"""Ctrl-C and SIGTERM at any moment of `dcp local run`: it ends, and nothing is left.

The moments follow from what a run has written, so that they are all over it however long it takes.
"""

import os
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import forked_run
import pytest
import yaml
from botocore.exceptions import ClientError
from prefect.settings import get_current_settings
from remaining_resources import remaining_in_account
from shared_fixtures import start
from waiting import wait_for

from blocks import RunConfig
from blocks.loading.load import parse_config
from deployments.examples.demo.make_plate import make_plate
from deployments.local.emulator_client import Emulator
from deployments.local.environment import credentials_of
from tasks.aws.clients import Aws
from tasks.lifecycle.leftovers import left_running
from tasks.runs import record
from tasks.runs.run import Run

# The timeout is for a hang: how long it takes is the machine's business.
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.xdist_group("interrupting"),  # of groups the first begin first: this is the longest
]

DEMO = Path(__file__).parents[2] / "deployments" / "examples" / "demo"
SEED = 20260301
MOMENTS = 20
AT_A_TIME = 3
LONGEST_DELAY = 0.5  # seconds; about what a run takes from one line to the next
LONGEST_AGAIN = 4.0  # seconds; within the clean-up


@dataclass(frozen=True)
class Moment:
    """When and how a run is interrupted.

    Attributes:
        number: Which of the moments it is.
        lines: How many lines the run has written before.
        delay: Seconds from then to the signal.
        signal: The signal.
        again: Seconds to the same signal once more, as impatient people send it; None: never.
        own_servers: Whether the run starts an emulator and a Prefect server of its own.
    """

    number: int
    lines: int
    delay: float
    signal: signal.Signals
    again: float | None
    own_servers: bool


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    moment: Moment
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
        process, own = self._start("Whole", self.emulator)
        seen = [0]

        def ended() -> bool:
            if (now := lines(own / "log")) != seen[-1]:
                seen.append(now)
            return not process.is_alive()

        wait_for(ended, "the end of a whole run")
        assert process.exitcode == 0, (own / "log").read_text()
        return seen

    def interrupted(self, moment: Moment) -> Ended:
        """Do a run, and interrupt it."""
        name = f"Moment{moment.number}"
        process, own = self._start(name, None if moment.own_servers else self.emulator)
        interrupted = self._interrupt(process, own / "log", moment)
        wait_for(lambda: not process.is_alive(), f"the end of {moment}")
        return Ended(
            moment,
            parse_config((own / "config.yaml").read_text(), "config.yaml"),
            interrupted,
            process.exitcode,
            (own / "log").read_text(),
            [str(path) for path in (own / "scratch").iterdir()] + processes_of(own),
        )

    def _start(self, name: str, emulator: Emulator | None) -> tuple[BaseProcess, Path]:
        own = self.folder / name
        own.mkdir()
        arguments = ["--config", str(self._config(name, own)), "--job", str(DEMO / "job.json")]
        arguments += ["--data", str(self.folder / "data"), "--output", str(own / "output")]
        return forked_run.start(arguments, own, emulator), own

    def _config(self, name: str, folder: Path) -> Path:
        values = yaml.safe_load((DEMO / "config.yaml").read_text())
        values |= {"app_name": name, "ecs_cluster": name, "log_group_name": name}
        values |= {"sqs_dead_letter_queue": f"{name}DeadMessages", "monitor_seconds": 1}
        values |= {"aws_bucket": name.lower()}
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    def _interrupt(self, process: BaseProcess, told: Path, moment: Moment) -> bool:
        """Send the signal when its moment has come; whether the run had not ended before."""
        wait_for(
            lambda: lines(told) >= moment.lines or not process.is_alive(),
            f"line {moment.lines} of run {moment.number}",
        )
        process.join(moment.delay)
        running = send(process, moment.signal)
        if moment.again is not None:
            process.join(moment.again)
            send(process, moment.signal)
        return running


def send(process: BaseProcess, number: signal.Signals) -> bool:
    """Send a signal to a process; whether it was running and will receive the signal."""
    assert process.pid is not None
    try:
        # Stopped, it cannot end between the look at its state and the signal.
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: state(process.pid) in ("T", "Z"), "the process to be stopped")
        running = state(process.pid) == "T"
        os.kill(process.pid, number)
        os.kill(process.pid, signal.SIGCONT)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return running


def state(pid: int | None) -> str:
    """The state of a process: `T` for a stopped one, `Z` for one that has ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


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
        if f"{folder}/".encode() in line:
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
                drawn.choice([None, None, drawn.uniform(0, LONGEST_AGAIN)]),
                own_servers=number in (0, MOMENTS - 1),
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


@pytest.mark.parametrize(
    "turn", [0, *(pytest.param(turn, marks=pytest.mark.soak) for turn in range(1, 6))]
)
def test_a_run_that_is_interrupted_at_any_moment_leaves_nothing(runs: Runs, turn: int) -> None:
    seed = random.SystemRandom().randrange(10**6) if turn else SEED
    progress = runs.progress()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        ended = list(pool.map(runs.interrupted, moments(seed, progress)))
    for one in ended:
        about = f"seed {seed}: {one.moment}\n{one.told}"
        assert not one.left, about
        if one.interrupted:
            # By the signal itself where nothing was there yet or any more that must be ended.
            assert one.status in (1, -one.moment.signal), about
            assert one.status != 1 or "Interrupted." in one.told, about
        if not one.moment.own_servers:
            assert left_of(one.config, runs.emulator) == [], about
    # A run that writes fewer lines than the first one did ends before a late moment comes.
    assert sum(one.interrupted for one in ended) >= MOMENTS * 3 // 4
    aws = Aws.connect(credentials_of(runs.emulator, "us-east-1"), "us-east-1")
    assert remaining_in_account(aws, runs.emulator) == []


def left_of(config: RunConfig, emulator: Emulator) -> list[str]:
    """What is left of an app in an account, and its run if that has begun and has not ended."""
    aws = Aws.connect(credentials_of(emulator, config.aws_region), config.aws_region)
    try:
        run = Run(config, record.latest_id(aws, config) or "", aws)
    except ClientError:
        return []  # the run has not made its bucket
    kept = record.load(run) if run.run_id else None
    left = [] if kept is None or kept.state == "ended" else [f"run {run.run_id}"]
    return left + left_running(run)
