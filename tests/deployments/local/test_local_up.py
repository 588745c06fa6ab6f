"""`dcp local up`, and `prefect deployment run dcp/full-run` in a second terminal."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect_aws import AwsClientParameters, AwsCredentials
from prefect_site import flow_processes
from pydantic import SecretStr
from waiting import wait_for

from blocks import RunConfig
from blocks.loading.load import parse_config
from tasks.aws.clients import Aws
from tasks.lifecycle.leftovers import left_running
from tasks.runs import record
from tasks.runs.run import Run

# One process: the fixtures are created once.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local-up")]

DEMO = Path(__file__).parents[3] / "deployments" / "examples" / "demo"


@dataclass(frozen=True)
class LocalUp:
    """A running `dcp local up`."""

    process: subprocess.Popen[str]
    command: list[str]
    api: str
    aws: Aws
    config: RunConfig

    def start_run(self) -> str:
        """Run the printed command; returns the id of the flow run."""
        command = [word for word in self.command if word != "--watch"]
        done = subprocess.run(
            command,
            env={**os.environ, "PREFECT_API_URL": self.api},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = re.search(r"UUID: ([0-9a-f-]{36})", done.stdout)
        assert found, done.stdout
        return found[1]

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.api}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def state(self, flow_run: str) -> str:
        return str(self.ask(f"flow_runs/{flow_run}")["state"]["type"])

    def wait_for_state(self, flow_run: str, state: str) -> None:
        """Wait until a flow run has a state; a failure shows its states and last log lines."""
        try:
            ended = {"COMPLETED", "FAILED", "CANCELLED"}  # a crashed one may be started again
            now = wait_for(
                lambda: (now := self.state(flow_run)) in ended and now, f"the end of {flow_run}"
            )
            assert now == state
        except AssertionError as error:
            error.add_note(self._story(flow_run))
            raise

    def _story(self, flow_run: str) -> str:
        with urllib.request.urlopen(
            f"{self.api}/flow_run_states/?flow_run_id={flow_run}", timeout=30
        ) as answer:
            states = json.load(answer)
        newest = {"flow_run_id": {"any_": [flow_run]}}
        body = {"logs": newest, "sort": "TIMESTAMP_DESC", "limit": 40}
        lines = self.ask("logs/filter", body)[::-1]
        return "\n".join(
            [
                f"{state['timestamp']} {state['type']} {state['name']}: {state['message']}"
                for state in states
            ]
            + [f"{line['timestamp']} {line['message']}" for line in lines]
        )

    def run(self) -> Run:
        newest = record.latest_id(self.aws, self.config) or ""
        return Run(self.config, newest, self.aws)


@pytest.fixture(scope="module")
def world() -> Iterator[LocalUp]:
    command = [sys.executable, "-m", "deployments.cli", "local", "up"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    )
    assert process.stdout is not None
    lines: list[str] = []
    while "Ctrl-C" not in (line := process.stdout.readline()):
        assert line, "it ended by itself"
        lines.append(line.strip())
    typed = next(line for line in lines if "deployment run" in line)
    setting, *command = shlex.split(typed)
    endpoint = next(line for line in lines if line.startswith("AWS: ")).removeprefix("AWS: ")
    account = AwsCredentials(
        aws_access_key_id="local",
        aws_secret_access_key=SecretStr("local"),
        aws_client_parameters=AwsClientParameters(endpoint_url=endpoint),
    )
    config = parse_config((DEMO / "config.yaml").read_text(), "config.yaml")
    aws = Aws.connect(account, config.aws_region)
    yield LocalUp(process, command, setting.partition("=")[2], aws, config)
    process.send_signal(signal.SIGINT)
    process.wait(600)


def test_all_deployments_exist(world: LocalUp) -> None:
    found = world.ask("deployments/filter", {})
    flows = {flow["id"]: flow["name"] for flow in world.ask("flows/filter", {})}
    names = {f"{flows[deployment['flow_id']]}/{deployment['name']}" for deployment in found}
    assert names == {
        "dcp/full-run",
        "dcp/nightly-plate",
        "dcp-preflight/preflight",
        "dcp-plates/plates",
        "dcp-plates/new-plates",
        "dcp-profile/profile",
        "dcp-failures/failures",
        "dcp-retry-failed/retry-failed",
        "dcp-continue/continue",
        "dcp-setup/setup",
        "dcp-submit/submit",
        "dcp-start-fleet/start-fleet",
        "dcp-monitor/monitor",
        "dcp-cleanup/cleanup",
        "dcp-status/status",
        "dcp-reaper/reaper",
        "dcp-account/account",
    }
    on = {
        deployment["name"]
        for deployment in found
        for schedule in deployment["schedules"]
        if schedule["active"]
    }
    assert on == {"reaper"}


def test_a_run_cancelled_half_way_leaves_nothing(world: LocalUp) -> None:
    flow_run = world.start_run()
    wait_for(lambda: _succeeded(world) > 0, "the first job's success")
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    world.ask(f"flow_runs/{flow_run}/set_state", cancelling)
    world.wait_for_state(flow_run, "CANCELLED")
    wait_for(lambda: not left_running(world.run()), "everything to be ended")
    text = wait_for(lambda: record.read(world.run(), "report.json"), "the report")
    report = json.loads(text)
    assert report["submitted"] == 16
    assert report["succeeded"] > 0
    assert report["lost"] > 0
    assert report["succeeded"] + report["failed"] + report["lost"] == 16


def test_a_run_whose_process_is_killed_continues_to_its_end(world: LocalUp) -> None:
    before = world.run().run_id
    flow_run = world.start_run()
    wait_for(lambda: world.run().run_id != before and _succeeded(world) > 0, "the first success")
    killed = world.run().run_id
    (process,) = flow_processes(world.api, flow_run)
    os.kill(process, signal.SIGKILL)
    world.wait_for_state(flow_run, "COMPLETED")
    assert world.run().run_id == killed
    report = json.loads(record.read(world.run(), "report.json") or "{}")
    # Jobs that the previous run completed are skipped.
    assert report["succeeded"] == _succeeded(world) > 0
    assert report["succeeded"] + report["skipped"] == report["submitted"] == 16
    assert left_running(world.run()) == []


def test_the_printed_command_does_a_full_run(world: LocalUp) -> None:
    flow_run = world.start_run()
    ended = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    state = wait_for(lambda: (now := world.state(flow_run)) in ended and now, "the end")
    assert state == "COMPLETED"
    assert left_running(world.run()) == []
    keys = {artifact["key"] for artifact in world.ask("artifacts/latest/filter", {})}
    assert {"demo-progress", "demo-counts", "demo-report", "demo-links"} <= keys
    resource = f"dcp.run.{world.config.names.app}.{world.run().run_id}"
    of_run = {"filter": {"resource": {"id": [resource]}}}

    def events() -> dict[str, Any]:
        found = {event["event"]: event for event in world.ask("events/filter", of_run)["events"]}
        return found if "dcp.run.completed" in found else {}

    # Prefect processes events asynchronously.
    events_by_name = wait_for(events, "the event of the run's end")
    assert events_by_name.keys() == {"dcp.run.started", "dcp.run.completed"}
    related = {
        resource["prefect.resource.id"]
        for resource in events_by_name["dcp.run.completed"]["related"]
    }
    assert any(resource.startswith("prefect.flow-run.") for resource in related)


def test_ctrl_c_ends_all_of_it(world: LocalUp) -> None:
    children = _descendants(world.process.pid)
    assert children
    world.process.send_signal(signal.SIGINT)
    assert world.process.wait(600) == 0
    wait_for(lambda: not any(_alive(pid) for pid in children), "all children to end")


def _succeeded(world: LocalUp) -> int:
    if not world.run().run_id:
        return 0
    prefix = world.run().key("results/succeeded/")
    found = world.aws.s3.list_objects_v2(Bucket=world.config.aws_bucket, Prefix=prefix)
    return int(found["KeyCount"])


def _descendants(pid: int) -> list[int]:
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = {int(one): int(two) for one, two in map(str.split, listing.splitlines())}
    found: list[int] = []
    left = [pid]
    while left:
        below = [child for child, parent in parents.items() if parent == left[0]]
        left = left[1:] + below
        found += below
    return found


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
