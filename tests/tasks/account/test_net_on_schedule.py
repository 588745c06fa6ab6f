"""The safety net alone, called by its schedule, with its own permissions."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recorded_run import config_at, new_run
from stand_in_worker import STAND_IN
from started_run import start_run
from waiting import wait_for

from deployments.local.emulator_client import Emulator, start_emulator
from tasks.account.provision import create
from tasks.account.setup_config import AccountAws, Setup, open_setup
from tasks.fleet.find import find_fleets
from tasks.fleet.instances import live_machines
from tasks.runs import heartbeat
from tasks.runs.run import Run

pytestmark = pytest.mark.e2e

REGION = "us-east-1"
BUCKET = "net-on-schedule"
ENDINGS = {"DeleteFleets", "TerminateInstances", "CancelSpotFleetRequests", "UpdateService"}


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """An account in which 15 minutes of a schedule take 6 seconds, with idle containers."""
    with start_emulator(
        tmp_path,
        Path(sys.executable),
        container_command=[str(STAND_IN)],
        boot_seconds=0.1,
        tick_seconds=0.1,
        speed=150,
    ) as running:
        running.set_account(enforce=True)
        yield running


@pytest.fixture
def new(emulator: Emulator) -> Callable[[str], Run]:
    return lambda app: new_run(config_at(emulator.endpoint_url, app, aws_bucket=BUCKET))


def set_up(run: Run) -> Setup:
    """The account's set-up, with the safety net."""
    aws = AccountAws.connect(run.config.credentials, REGION)
    setup = open_setup(aws, REGION, overrides={"bucket": BUCKET})
    assert [str(line) for line in create(aws, setup) if line.needs_attention] == []
    return setup


def reports(emulator: Emulator, run: Run) -> list[str]:
    """The net's report about a run, for each of its checks; no check failed."""
    events = emulator.events()
    calls = [call for call in events if call["kind"].startswith(("function-", "schedule-"))]
    assert [call for call in calls if call["kind"] == "schedule-failed" or call["failed"]] == []
    name = f"{run.names.app} {run.run_id}: "
    lines = [line for call in calls for line in json.loads(call["answer"])]
    return [line.removeprefix(name) for line in lines if line.startswith(name)]


def machines(run: Run) -> list[str]:
    return list(live_machines(run.aws.ec2, run.names.app))


def test_the_scheduled_net_stops_only_the_idle_run_without_a_flow(
    emulator: Emulator, new: Callable[[str], Run]
) -> None:
    idle, watched = new("NetIdle"), new("NetWatched")
    setup = set_up(idle)
    ec2 = idle.aws.ec2
    response = ec2.run_instances(
        ImageId="ami-0123456789abcdef0", InstanceType="m5.large", MinCount=1, MaxCount=1
    )
    untagged = response["Instances"][0]["InstanceId"]
    with heartbeat.kept(watched):
        start_run(watched, 1, {"MODE": "wait"})
        start_run(idle, 2, {"MODE": "wait"})
        wait_for(lambda: len(emulator.containers()) == 3, "a container on each machine")
        assert len(machines(idle)) == 2
        emulator.record()
        wait_for(
            lambda: "stopped, because" in "".join(reports(emulator, idle)), "the stop of the run"
        )
        wait_for(lambda: not find_fleets(idle) and not machines(idle), "the end of the idle run")
        wait_for(lambda: len(emulator.containers()) == 1, "the end of its containers")
        count = len(reports(emulator, watched))
        wait_for(lambda: len(reports(emulator, watched)) > count, "one more check")
        assert len(machines(watched)) == len(find_fleets(watched)) == 1

    lines = reports(emulator, idle)
    first = next(number for number, line in enumerate(lines) if line != "not stopped")
    assert first >= 2
    assert lines[first].startswith("stopped, because no flow monitors it, and its queue has been")
    assert set(reports(emulator, watched)) == {"not stopped"}
    state = ec2.describe_instances(InstanceIds=[untagged])["Reservations"][0]["Instances"][0]
    assert state["State"]["Name"] == "running"
    terminations = [request for request in emulator.requests() if request["operation"] in ENDINGS]
    assert {request["operation"] for request in terminations} >= {
        "DeleteFleets",
        "TerminateInstances",
    }
    assert {(request["who"], request["role"], request["code"]) for request in terminations} == {
        ("function", setup.role_arn(setup.safety_net_name), "")
    }
