"""What ends a run, each alone with everything else away: how long was something left?"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lab import Lab
from prefect.settings import get_current_settings
from stand_in_worker import STAND_IN
from waiting import wait_for
from whole_run import SPOT_FLEET, put_alarm, start

from blocks import AwsCredentials, FleetTemplate
from deployments.local.emulator_client import Emulator, start_emulator
from deployments.local.environment import worker_python
from flows.reaper import reaper
from flows.setup import setup
from flows.start_fleet import start_fleet
from flows.status import status
from flows.submit import submit
from tasks.fleet.find import find_fleets
from tasks.fleet.instances import LIVE_STATES
from tasks.lifecycle.leftovers import left_running, machine_states
from tasks.resources.ecs import set_desired_count
from tasks.runs import heartbeat, record
from tasks.runs.run import Run

# One process: what its tests stand on is made once.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("endings")]

log = logging.getLogger(__name__)
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An AWS of its own: the reaper looks at all runs. Workers never end themselves."""
    with start_emulator(
        tmp_path_factory.mktemp("aws"),
        Path(sys.executable),
        container_command=[str(STAND_IN)],
        boot_seconds=0.2,
        shutdown_seconds=1,
    ) as running:
        AwsCredentials(
            aws_access_key_id="local",
            aws_secret_access_key="local",
            region_name="us-east-1",
            aws_client_parameters={"endpoint_url": running.endpoint_url},
        ).save("alone", overwrite=True)
        yield running


def live(run: Run) -> int:
    """Number of machines that cost money."""
    return sum(state in LIVE_STATES for state in machine_states(run).values())


def until(run: Run, over: Callable[[], Any], what: str) -> datetime:
    """Wait until it is so; prints how many seconds it took, and returns when it was so."""
    began = datetime.now(UTC)
    wait_for(over, what)
    ended = datetime.now(UTC)
    log.warning(f"{what}: {ended - began}, then left: {left_running(run)}")
    return ended


@pytest.mark.parametrize("template", [FleetTemplate(), SPOT_FLEET], ids=["ec2", "spot"])
def test_aws_alone_ends_a_fleet_whose_time_is_over(
    make_lab: Callable[..., Lab], alone: Emulator, template: FleetTemplate
) -> None:
    """Layer 1: nothing of Prefect is alive, and the workers hang."""
    lab = make_lab(alone.endpoint_url, app_name=f"Valid{len(template.model_dump_json())}")
    setup(lab.config)
    run = lab.run()
    submit(lab.config, lab.jobs("hang", "A02"))
    set_desired_count(run, 2)
    due = datetime.now(UTC) + timedelta(seconds=30)
    record.update(run, started_at=due - timedelta(hours=run.config.max_hours))
    start(run, 2, template)
    ended = until(run, lambda: not live(run), "ValidUntil alone")
    assert ended > due - timedelta(seconds=1), "not before its time"
    assert find_fleets(run) == []


def test_machines_alone_end_themselves_when_the_queue_is_done(
    make_lab: Callable[..., Lab], prefect: None, tmp_path: Path
) -> None:
    """Layer 2: no Prefect; the queue is empty, and the machines end with service and fleet."""
    with start_emulator(tmp_path / "aws", worker_python(), boot_seconds=0.2) as real:
        lab = make_lab(real.endpoint_url, idle_seconds=10, app_name="Selves")
        setup(lab.config)
        run = lab.run()
        set_desired_count(run, 2)
        fleet = start(run, 2)
        ended = until(run, lambda: not live(run), "machines that end themselves")
        begun = min(one["time"] for one in real.events() if one["kind"] == "task-started")
        assert ended.timestamp() - begun >= run.config.idle_seconds, "not before idle_seconds"
        assert fleet.target() == 0, "and none takes their place"


def test_an_alarm_alone_ends_a_machine_that_hangs(
    make_lab: Callable[..., Lab], prefect: None, tmp_path: Path
) -> None:
    """Layer 2b: 15 minutes at under 1 % CPU, here in 3 seconds."""
    with start_emulator(
        tmp_path / "aws",
        Path(sys.executable),
        container_command=[str(STAND_IN)],
        boot_seconds=0.2,
        speed=300,
    ) as fast:
        lab = make_lab(fast.endpoint_url, app_name="Hangs")
        setup(lab.config)
        run = lab.run()
        set_desired_count(run, 1)
        (machine,) = start(run, 1).machines()
        wait_for(fast.containers, "the container")
        alarm = run.aws.cloudwatch
        put_alarm(run, machine, ["arn:aws:automate:us-east-1:ec2:terminate"])
        assert alarm.describe_alarms(AlarmNames=[run.names.alarm(machine)])["MetricAlarms"]
        fast.hang(machine)
        until(run, lambda: machine not in machine_states(run), "the idle alarm alone")


def killed_flow(lab: Lab, job: str, over: Callable[[], Any]) -> None:
    """Run `dcp` in a process without any worker over it, and kill it once it is so."""
    code = "import sys; from flows.full_run import dcp; dcp(*sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, lab.config, job],
        cwd=PROJECT,
        env=os.environ | {"PREFECT_API_URL": str(get_current_settings().api.url)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def so_far() -> Any:
        assert process.poll() is None, "it ended by itself"
        return over()

    try:
        wait_for(so_far, "the flow to come so far")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def fall_silent(run: Run) -> None:
    """Let the last beat of the run grow old at once."""
    beat = heartbeat.Beat(at=datetime.now(UTC), every=0.1, by="killed")
    record.put(run, heartbeat.NAME, beat.model_dump_json())
    wait_for(lambda: not heartbeat.watched(run), "the beat to be old")


def test_the_reaper_alone_brings_a_run_to_its_proper_end(
    make_lab: Callable[..., Lab], alone: Emulator
) -> None:
    """Layer 3: the flow is killed, no hook runs, and the workers would not end themselves."""
    lab = make_lab(alone.endpoint_url, app_name="Reaped")
    job = lab.jobs("slow", *(f"A{number:02}" for number in range(1, 12)))
    killed_flow(lab, job, lambda: lab.run().run_id and live(lab.run()))
    run = lab.run()
    assert heartbeat.watched(run)
    assert reaper("alone", minutes=1, return_state=True).is_completed()
    assert record.load(run).state == "active", "who may still be watched is left alone"  # type: ignore[union-attr]
    fall_silent(run)
    began = time.monotonic()
    state = reaper("alone", minutes=2, return_state=True)
    log.warning(f"the reaper alone: {time.monotonic() - began:.1f} s: {state.message}")
    assert state.is_completed()
    assert "12 jobs: 12 succeeded, 0 skipped, 0 failed, 0 lost" in str(state.message)
    assert left_running(run) == []
    assert len(lab.outputs()) == 12
    assert record.read(run, "report.json")


def test_the_reaper_ends_what_must_be_ended_and_nothing_else(
    make_lab: Callable[..., Lab], alone: Emulator, tmp_path: Path
) -> None:
    overdue = make_lab(alone.endpoint_url, app_name="Overdue", aws_bucket="overdue-bucket")
    setup(overdue.config)
    submit(overdue.config, overdue.jobs("hang"))
    start_fleet(overdue.config)
    long_ago = datetime.now(UTC) - timedelta(hours=overdue.settings.max_hours + 1)
    late = record.update(overdue.run(), started_at=long_ago)
    runs = {"Overdue": overdue.run()}
    for name in ("Gone", "Ended", "Live"):
        lab = make_lab(alone.endpoint_url, app_name=name, aws_bucket=f"{name.lower()}-bucket")
        setup(lab.config)
        runs[name] = lab.run()
        start(runs[name], 1)
    gone, ended, alive = runs["Gone"], runs["Ended"], runs["Live"]
    for key in (gone.key("run.json"), gone.names.latest_key):
        gone.aws.s3.delete_object(Bucket=gone.config.aws_bucket, Key=key)
    record.update(ended, state="ended", ended_at=long_ago)
    ec2 = alive.aws.ec2
    stranger = ec2.run_instances(
        ImageId="ami-12c6146b", InstanceType="m5.xlarge", MinCount=1, MaxCount=1
    )["Instances"][0]["InstanceId"]
    before = left_running(alive)
    with heartbeat.kept(alive):
        told = status("alone", return_state=True)
        assert "orphaned" in str(told.message)
        began = time.monotonic()
        state = reaper("alone", minutes=0.1, return_state=True)
        log.warning(f"the reaper, four runs: {time.monotonic() - began:.1f} s: {state.message}")
        assert left_running(alive) == before
    assert state.is_completed()
    assert left_running(gone) == []
    assert left_running(ended) == []
    assert not live(overdue.run()), late
    described = ec2.describe_instances(InstanceIds=[stranger])["Reservations"][0]["Instances"][0]
    assert described["State"]["Name"] in ("pending", "running")
    again = reaper("alone", minutes=0.1, return_state=True)
    assert again.is_completed()
    assert not live(alive), "whom nobody watches any more, and who has no jobs"
