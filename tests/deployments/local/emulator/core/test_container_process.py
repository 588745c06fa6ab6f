"""A container is a process with exactly its environment, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emulated_app import App
from stand_in_worker import STAND_IN
from waiting import wait_for

from deployments.local.emulator.core.container_process import ContainerError, ContainerProcess
from deployments.local.emulator_client import EmulatorError, start_emulator

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[5]
PATHS = [
    str(REPOSITORY / folder)
    for folder in (".", "tests/support", "tests/deployments/local/emulator")
]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def start_one(app: App, mode: str) -> dict[str, Any]:
    app.cluster()
    app.fleet(1)
    app.service(1, mode=mode)
    app.running(1)
    [container] = app.containers()
    wait_for(
        lambda: f"started {mode}" in app.lines(container["task_arn"]), "the worker's first line"
    )
    found: dict[str, Any] = container
    return found


def test_environment_is_the_task_definition_and_the_additions_of_aws(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = start_one(app, "environment")
    reported = json.loads(app.lines(container["task_arn"])[0])
    environment = reported["environment"]
    base = f"{app.emulator.endpoint_url}/_dcp"
    task = container["task_id"]
    java_home = {"JAVA_HOME": os.environ["JAVA_HOME"]} if "JAVA_HOME" in os.environ else {}
    assert environment == {
        "MODE": "environment",
        "APP_NAME": app.name,
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": reported["cwd"],
        "TMPDIR": f"{reported['cwd']}/tmp",
        "LANG": "C.UTF-8",
        "ECS_CONTAINER_METADATA_URI_V4": f"{base}/task/{task}/v4/{task}",
        "ECS_AGENT_URI": f"{base}/task/{task}/api",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{base}/task/{task}/credentials",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{base}/imds/{container['instance_id']}/",
        "AWS_ENDPOINT_URL": app.emulator.endpoint_url,
        **java_home,
    }
    assert Path(reported["cwd"]).is_relative_to(app.emulator.root)


def test_sigkill_takes_everything_in_the_container(app: App) -> None:
    container = start_one(app, "children")
    folder = app.emulator.root / "containers" / container["task_id"]
    lines = app.lines(container["task_arn"])
    pids = [int(line.split()[1]) for line in lines if line.startswith(("child", "daemon"))]
    assert len(pids) == 2
    assert all(map(alive, pids))
    assert folder.is_dir()
    os.kill(container["pid"], signal.SIGKILL)
    wait_for(lambda: not any(map(alive, pids)), "children dead")
    wait_for(lambda: not folder.exists(), "folder removed")
    wait_for(lambda: app.tasks("STOPPED"), "task stopped")


def test_end_of_the_machine_takes_the_container_at_once(app: App) -> None:
    container = start_one(app, "deaf")
    app.ec2.terminate_instances(InstanceIds=[container["instance_id"]])
    wait_for(lambda: not alive(container["pid"]), "container dead")


def test_command_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    with pytest.raises(ContainerError, match="CannotStartContainerError"):
        ContainerProcess(["/no/such/python"], {}, folder, log=lambda line: None)
    assert not folder.exists()


def test_first_process_killed_from_outside_takes_the_command_along(app: App) -> None:
    container = start_one(app, "deaf")
    stat = Path(f"/proc/{container['pid']}/stat")
    if not stat.exists():
        pytest.skip("only Linux notifies a process of its parent's death")
    init = int(stat.read_text().rpartition(")")[2].split()[1])
    os.kill(init, signal.SIGKILL)
    wait_for(lambda: not alive(container["pid"]), "command dead")
    [task] = wait_for(lambda: app.tasks("STOPPED"), "task stopped")
    assert task["containers"][0]["exitCode"] == 137


def test_block_end_stops_containers_gently(tmp_path: Path) -> None:
    with start_emulator(
        tmp_path, Path(sys.executable), container_command=[str(STAND_IN)], boot_seconds=0.1
    ) as emulator:
        app = App("Gentle", emulator)
        container = start_one(app, "serve")
    assert not alive(container["pid"])
    assert not alive(emulator.pid)
    assert list((tmp_path / "containers").iterdir()) == []


SCRIPT = """
import sys, time
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from emulated_app import App
from stand_in_worker import STAND_IN
from waiting import wait_for
from deployments.local.emulator_client import start_emulator
with start_emulator(
    Path(sys.argv[1]), Path(sys.executable), container_command=[str(STAND_IN)], boot_seconds=0.1
) as emulator:
    app = App("Orphan", emulator)
    app.cluster()
    app.fleet(1)
    app.service(1, mode="children")
    app.running(1)
    [container] = app.containers()
    wait_for(lambda: "started children" in app.lines(container["task_arn"]), "started")
    pids = [int(one.split()[1]) for one in app.lines(container["task_arn"]) if one[:1] in "cd"]
    print(emulator.pid, container["pid"], *pids, flush=True)
    time.sleep(600)
"""


def start_orphans(tmp_path: Path) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), *PATHS],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    pids = [int(part) for part in process.stdout.readline().split()]
    assert len(pids) == 4
    return process, pids


def test_killed_parent_takes_emulator_and_containers_along(tmp_path: Path) -> None:
    process, pids = start_orphans(tmp_path)
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(alive, pids)), "emulator and containers dead")


def test_killed_emulator_takes_its_containers_along(tmp_path: Path) -> None:
    process, pids = start_orphans(tmp_path)
    os.kill(pids[0], signal.SIGKILL)
    # The emulator itself is a zombie until its parent exits.
    wait_for(lambda: not any(map(alive, pids[1:])), "containers dead")
    # The container's first process removes its folder after it has killed the others.
    wait_for(lambda: not [*(tmp_path / "containers").iterdir()], "folders removed")
    process.kill()
    process.wait()


def test_emulator_that_cannot_start_says_why(tmp_path: Path, app: App) -> None:
    port = int(app.emulator.endpoint_url.rpartition(":")[2])
    with (
        pytest.raises(EmulatorError, match="did not start"),
        start_emulator(tmp_path, Path(sys.executable), port=port),
    ):
        pass
