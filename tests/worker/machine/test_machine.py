"""The container around the slots: supervision, scale-in protection, the instance."""

from __future__ import annotations

import os
import signal
import socket
from threading import Thread

import boto3
import pytest
from dcp_worker.common.settings import Settings
from dcp_worker.machine import instance, scale_in_protection
from dcp_worker.machine.instance_metadata import InstanceMetadata
from dcp_worker.machine.scale_in_protection import ScaleInProtection
from waiting import wait_for

from agent import INSTANCE, Agent
from cloud import REGION, Cloud, Container


def test_local_files_that_cannot_be_removed_do_not_keep_the_container(container: Container) -> None:
    container.folder.mkdir()
    (container.folder / "slot0").write_text("a file with the name of the slot's folder")
    container.start()
    wait_for(lambda: "exited with status 1" in container.log.read_text(), "the slot to fail")
    assert container.stop() == 0


def test_a_stop_does_not_wait_for_cellprofiler_to_load(container: Container) -> None:
    container.start(STOP_SECONDS="3600")
    (loading,) = wait_for(container.cellprofilers, "CellProfiler to be started")
    os.kill(loading, signal.SIGSTOP)
    assert container.stop() == 0
    assert container.processes() == {}


def test_a_container_is_protected_while_it_has_a_job(agent: Agent) -> None:
    protection = ScaleInProtection({"ECS_AGENT_URI": f"{agent.url}/agent"})
    for busy in (False, True, True, True, False, False, True):
        protection.set(busy)
    assert [state["ProtectionEnabled"] for state in agent.states] == [True, False, True]
    assert "ExpiresInMinutes" in agent.states[0]


def test_a_refusing_or_missing_agent_stops_nothing(agent: Agent) -> None:
    agent.refuse = True
    ScaleInProtection({"ECS_AGENT_URI": f"{agent.url}/agent"}).set(True)
    ScaleInProtection({"ECS_AGENT_URI": "http://127.0.0.1:1"}).set(True)
    ScaleInProtection({}).set(True)
    assert agent.states == []


@pytest.mark.parametrize(
    "answer", ['{"failure": {"Reason": "DEPLOYMENT_BLOCKED"}}', "[]", "not JSON", ""]
)
def test_a_refused_protection_is_requested_again(
    agent: Agent, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale_in_protection, "_RETRY_SECONDS", 0.0)
    agent.answer = answer
    protected = ScaleInProtection({"ECS_AGENT_URI": f"{agent.url}/agent"})
    protected.set(True)
    protected.set(True)
    assert len(agent.states) == 2


def test_an_agent_that_does_not_speak_http_stops_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(4):  # one request to the agent, three for the instance id
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"what?\r\n\r\n")

        Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        ScaleInProtection({"ECS_AGENT_URI": url}).set(True)
        assert instance.identify({"AWS_EC2_METADATA_SERVICE_ENDPOINT": url}) == ""


def test_the_instance_id_is_requested_with_a_token(agent: Agent) -> None:
    assert instance.identify(agent.environment) == INSTANCE
    assert instance.identify({"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{agent.url}/no"}) == ""


def test_link_local_addresses_bypass_the_proxy(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert instance.identify(agent.environment) == INSTANCE


def test_one_lost_answer_of_the_metadata_service_does_not_count(agent: Agent) -> None:
    agent.failures = 2
    assert instance.identify(agent.environment) == INSTANCE
    agent.failures = 3
    assert instance.identify(agent.environment) == ""


def test_an_expired_token_is_replaced(agent: Agent) -> None:
    metadata = InstanceMetadata(agent.environment)
    assert metadata.get("instance-id") == INSTANCE
    agent.tokens.clear()
    assert metadata.get("instance-id") == INSTANCE
    assert metadata.get("spot/instance-action") is None


def clients(cloud: Cloud, **changes: str) -> tuple[Settings, object, object]:
    settings = Settings.from_environment(cloud.environment(**changes))
    return settings, *(boto3.client(name, region_name=REGION) for name in ("ec2", "cloudwatch"))


@pytest.mark.parametrize("action", ["terminate", "reboot"])
def test_the_instance_gets_name_and_idle_alarm(cloud: Cloud, action: str) -> None:
    settings, ec2, cloudwatch = clients(cloud, IDLE_ACTION=action)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    run = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]
    instance.set_up(ec2, cloudwatch, settings, run["InstanceId"])
    tags = ec2.describe_tags(Filters=[{"Name": "key", "Values": ["Name"]}])["Tags"]
    tagged = {tag["ResourceType"] for tag in tags if tag["Value"] == f"{cloud.name}Worker"}
    assert tagged == {"instance", "volume"}
    name = f"{cloud.name}_{run['InstanceId']}"
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 15 * 60
    assert alarm["AlarmActions"] == [f"arn:aws:automate:{REGION}:ec2:{action}"]


def test_a_refusal_of_ec2_leaves_the_alarm(cloud: Cloud) -> None:
    settings, ec2, cloudwatch = clients(cloud)
    instance.set_up(ec2, cloudwatch, settings, INSTANCE)
    assert cloudwatch.describe_alarms(AlarmNames=[f"{cloud.name}_{INSTANCE}"])["MetricAlarms"]
