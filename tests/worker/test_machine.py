"""What surrounds the slots: supervision, scale-in protection, the instance, plugins."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import boto3
import pytest
from dcp_worker import instance, plugins, protection
from dcp_worker.plugins import PluginsError
from dcp_worker.protection import Protection
from dcp_worker.settings import Plugins, Settings
from dcp_worker.slot import rest
from dcp_worker.supervisor import backoff
from hypothesis import given
from hypothesis import strategies as st

from cloud import REGION, Cloud, Container, wait_for

INSTANCE = "i-0123456789abcdef0"


@given(st.integers(1, 10_000))
def test_a_slot_that_keeps_dying_is_replaced_ever_more_slowly(failures: int) -> None:
    assert 1 <= backoff(failures) <= backoff(failures + 1) <= 60


@given(st.integers(1, 10_000))
def test_a_machine_at_fault_takes_ever_fewer_jobs(faults: int) -> None:
    assert 15 <= rest(faults) <= rest(faults + 1) <= 300
    assert rest(0) == 0


def test_local_files_that_cannot_be_removed_do_not_keep_the_container(container: Container) -> None:
    container.folder.mkdir()
    (container.folder / "slot0").write_text("a file where the slot wants its folder")
    container.start()
    wait_for(lambda: "has ended with status 1" in container.log.read_text(), "the slot to fail")
    assert container.stop() == 0


class Agent(HTTPServer):
    """The machine's own addresses: instance metadata (version 2 only) and the ECS agent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.states: list[dict[str, object]] = []
        self.refuse = False
        self.answer = '{"protection": {"ProtectionEnabled": true}}'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Agent

    def do_PUT(self) -> None:
        if self.path == "/imds/one/latest/api/token":
            self._answer(200, "a token")
        elif self.path == "/agent/task-protection/v1/state" and not self.server.refuse:
            length = int(self.headers["Content-Length"])
            self.server.states.append(json.loads(self.rfile.read(length)))
            self._answer(200, self.server.answer)
        else:
            self._answer(400, "refused")

    def do_GET(self) -> None:
        known = self.headers.get("X-aws-ec2-metadata-token") == "a token"
        if known and self.path == "/imds/one/latest/meta-data/instance-id":
            self._answer(200, INSTANCE)
        else:
            self._answer(401, "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def agent() -> Iterator[Agent]:
    server = Agent()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_container_is_protected_while_it_has_a_job(agent: Agent) -> None:
    protection = Protection({"ECS_AGENT_URI": f"{agent.url}/agent"})
    for busy in (False, True, True, True, False, False, True):
        protection.set(busy)
    assert [state["ProtectionEnabled"] for state in agent.states] == [True, False, True]
    assert "ExpiresInMinutes" in agent.states[0]


def test_an_agent_that_refuses_or_is_not_there_stops_nothing(agent: Agent) -> None:
    agent.refuse = True
    Protection({"ECS_AGENT_URI": f"{agent.url}/agent"}).set(True)
    Protection({"ECS_AGENT_URI": "http://127.0.0.1:1"}).set(True)
    Protection({}).set(True)
    assert agent.states == []


@pytest.mark.parametrize(
    "answer", ['{"failure": {"Reason": "DEPLOYMENT_BLOCKED"}}', "[]", "not JSON", ""]
)
def test_a_protection_that_ecs_has_not_given_is_asked_for_again(
    agent: Agent, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protection, "_RETRY_SECONDS", 0.0)
    agent.answer = answer
    protected = Protection({"ECS_AGENT_URI": f"{agent.url}/agent"})
    protected.set(True)
    protected.set(True)
    assert len(agent.states) == 2


def test_an_agent_that_does_not_speak_http_stops_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"what?\r\n\r\n")

        Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        Protection({"ECS_AGENT_URI": url}).set(True)
        assert instance.identify({"AWS_EC2_METADATA_SERVICE_ENDPOINT": url}) == ""


def test_the_instance_id_is_asked_for_with_a_token(agent: Agent) -> None:
    endpoint = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{agent.url}/imds/one/"}
    assert instance.identify(endpoint) == INSTANCE
    assert instance.identify({"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{agent.url}/no"}) == ""


def made(cloud: Cloud) -> tuple[Settings, object, object]:
    settings = Settings.from_environment(cloud.environment())
    return settings, *(boto3.client(name, region_name=REGION) for name in ("ec2", "cloudwatch"))


def test_the_instance_gets_name_and_idle_alarm(cloud: Cloud) -> None:
    settings, ec2, cloudwatch = made(cloud)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    run = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]
    instance.set_up(ec2, cloudwatch, settings, run["InstanceId"])
    named = ec2.describe_tags(Filters=[{"Name": "key", "Values": ["Name"]}])["Tags"]
    mine = {tag["ResourceType"] for tag in named if tag["Value"] == f"{cloud.name}Worker"}
    assert mine == {"instance", "volume"}
    name = f"{cloud.name}_{run['InstanceId']}"
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 15 * 60
    assert alarm["AlarmActions"] == [f"arn:aws:automate:{REGION}:ec2:terminate"]


def test_a_refusal_of_ec2_leaves_the_alarm(cloud: Cloud) -> None:
    settings, ec2, cloudwatch = made(cloud)
    instance.set_up(ec2, cloudwatch, settings, INSTANCE)
    assert cloudwatch.describe_alarms(AlarmNames=[f"{cloud.name}_{INSTANCE}"])["MetricAlarms"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of plugins with a tag, as in the image."""
    folder = tmp_path / "CellProfiler-plugins"
    (folder / "active_plugins").mkdir(parents=True)
    git(folder, "init", "-q")
    for tag in ("v1", "v2"):
        (folder / "active_plugins" / "plugin.py").write_text(tag)
        git(folder, "add", ".")
        git(folder, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", tag)
        git(folder, "tag", tag)
    return folder


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)


def asked(**changes: object) -> Plugins:
    return Plugins(
        **{"update": False, "commit": "", "install": False, "requirements": "", **changes}
    )


def test_plugins_that_are_not_used_need_no_checkout(tmp_path: Path) -> None:
    assert plugins.prepare(None, tmp_path / "none") is None


def test_plugins_at_a_commit(checkout: Path) -> None:
    folder = plugins.prepare(asked(commit="v1"), checkout)
    assert folder == checkout / "active_plugins"
    assert (folder / "plugin.py").read_text() == "v1"


def test_the_old_layout_has_its_plugins_at_the_root(tmp_path: Path) -> None:
    assert plugins.prepare(asked(), tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (asked(commit="no-such-commit"), "PLUGINS_COMMIT.*no-such-commit"),
        (asked(install=True, requirements="-r gone.txt"), "INSTALL_REQUIREMENTS.*gone.txt"),
    ],
)
def test_plugins_that_cannot_be_had_stop_the_container(
    checkout: Path, wanted: Plugins, reason: str
) -> None:
    with pytest.raises(PluginsError, match=f"(?s){reason}"):
        plugins.prepare(wanted, checkout)


def test_plugins_without_a_checkout_stop_the_container(tmp_path: Path) -> None:
    with pytest.raises(PluginsError, match="does not exist in the image"):
        plugins.prepare(asked(), tmp_path / "none")
