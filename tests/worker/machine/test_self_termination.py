"""How a machine terminates itself, on the AWS emulator."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from dcp_worker.common.settings import Settings
from dcp_worker.machine import self_termination
from waiting import wait_for

from cloud import NOBODY, REGION, Cloud
from task_definition import settings

PROJECT = Path(__file__).parents[3]
EMULATOR_PYTHON = PROJECT / ".venv" / "bin" / "python"
SERVICE = "Service"
ROLE = "arn:aws:iam::123456789012:role/fleet"


@contextmanager
def emulating(folder: Path, command: str) -> Iterator[str]:
    """Run an emulator whose containers run a command; yields its endpoint."""
    words = ["-m", "deployments.local.emulator", "--end-with-stdin", "--boot-seconds", "0.1"]
    words += ["--root", str(folder), "--worker-python", sys.executable, "--tick-seconds", "0.1"]
    words += ["--shutdown-seconds", "1", f"--container-command={command}"]
    process = subprocess.Popen(
        [str(EMULATOR_PYTHON), *words],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        yield json.loads(process.stdout.readline())["endpoint_url"]
        process.stdin.close()
        process.wait(600)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an emulator whose containers only wait."""
    waiting = "-c 'import time; time.sleep(600)'"
    with emulating(tmp_path_factory.mktemp("aws"), waiting) as endpoint:
        yield endpoint


@dataclass
class Run:
    """A cluster, a fleet of two machines, and a service with one container on each."""

    endpoint: str
    environment: dict[str, str] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"App{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.ec2, self.ecs = (
            boto3.client(name, region_name=REGION, endpoint_url=self.endpoint, **keys)
            for name in ("ec2", "ecs")
        )
        self.ecs.create_cluster(clusterName=self.name)
        self.ecs.register_task_definition(
            family=self.name,
            containerDefinitions=[
                {
                    "name": "worker",
                    "image": "x",
                    "cpu": 2048,
                    "memory": 1000,
                    "environment": [
                        {"name": key, "value": value} for key, value in self.environment.items()
                    ],
                }
            ],
        )
        self.ecs.create_service(
            cluster=self.name, serviceName=SERVICE, taskDefinition=self.name, desiredCount=2
        )

    @property
    def settings(self) -> Settings:
        return settings(APP_NAME=self.name, ECS_CLUSTER=self.name, ECS_SERVICE=SERVICE)

    @property
    def user_data(self) -> str:
        script = f"#!/bin/bash\necho ECS_CLUSTER={self.name} >> /etc/ecs/ecs.config\n"
        return base64.b64encode(script.encode()).decode()

    def start_ec2_fleet(self) -> str:
        data = {"ImageId": "ami-12345678", "InstanceType": "m5.large", "UserData": self.user_data}
        self.ec2.create_launch_template(LaunchTemplateName=self.name, LaunchTemplateData=data)
        template = {"LaunchTemplateName": self.name, "Version": "$Latest"}
        return self.ec2.create_fleet(
            Type="maintain",
            ExcessCapacityTerminationPolicy="no-termination",
            LaunchTemplateConfigs=[{"LaunchTemplateSpecification": template}],
            TargetCapacitySpecification={
                "TotalTargetCapacity": 2,
                "OnDemandTargetCapacity": 1,
                "SpotTargetCapacity": 1,
                "DefaultTargetCapacityType": "spot",
            },
        )["FleetId"]

    def start_spot_fleet(self) -> str:
        specification = {
            "ImageId": "ami-12345678",
            "InstanceType": "m5.large",
            "UserData": self.user_data,
        }
        return self.ec2.request_spot_fleet(
            SpotFleetRequestConfig={
                "IamFleetRole": ROLE,
                "TargetCapacity": 2,
                "ExcessCapacityTerminationPolicy": "noTermination",
                "LaunchSpecifications": [specification],
            }
        )["SpotFleetRequestId"]

    def machines(self) -> list[str]:
        """EC2 ids of the container instances of this app's cluster."""
        arns = self.ecs.list_container_instances(cluster=self.name)["containerInstanceArns"]
        if not arns:
            return []
        described = self.ecs.describe_container_instances(
            cluster=self.name, containerInstances=arns
        )
        return [instance["ec2InstanceId"] for instance in described["containerInstances"]]

    def working(self) -> list[str]:
        """The two machines, once each of them runs its container."""
        running = self.service()["runningCount"]
        machines = self.machines()
        return machines if running == len(machines) == 2 else []

    def service(self) -> dict[str, Any]:
        (service,) = self.ecs.describe_services(cluster=self.name, services=[SERVICE])["services"]
        return service

    def target(self, fleet: str) -> int:
        if fleet.startswith("fleet-"):
            (described,) = self.ec2.describe_fleets(FleetIds=[fleet])["Fleets"]
            return described["TargetCapacitySpecification"]["TotalTargetCapacity"]
        (request,) = self.ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet])[
            "SpotFleetRequestConfigs"
        ]
        return request["SpotFleetRequestConfig"]["TargetCapacity"]

    def state(self, machine: str) -> str:
        reservations = self.ec2.describe_instances(InstanceIds=[machine])["Reservations"]
        return reservations[0]["Instances"][0]["State"]["Name"]


@pytest.mark.parametrize("kind", ["ec2", "spot"])
def test_a_terminating_machine_empties_service_and_fleet(emulator: str, kind: str) -> None:
    run = Run(emulator)
    fleet = run.start_ec2_fleet() if kind == "ec2" else run.start_spot_fleet()
    machines = wait_for(run.working, "two machines to run containers")
    self_termination.terminate_machine(run.ecs, run.ec2, run.settings, machines[0])
    assert run.service()["desiredCount"] == 0
    assert run.target(fleet) == 0
    wait_for(lambda: not run.machines(), "all machines to terminate")
    assert {run.state(machine) for machine in machines} <= {"shutting-down", "terminated"}
    # A moment later the other machine does the same, and that starts nothing.
    self_termination.terminate_machine(run.ecs, run.ec2, run.settings, machines[1])
    wait_for(lambda: run.service()["runningCount"] == 0, "the containers to end")
    assert run.target(fleet) == 0
    assert run.machines() == []


@pytest.mark.parametrize("kind", ["ec2", "spot"])
def test_an_unfit_machine_is_replaced(emulator: str, kind: str) -> None:
    run = Run(emulator)
    fleet = run.start_ec2_fleet() if kind == "ec2" else run.start_spot_fleet()
    unfit, healthy = wait_for(run.working, "two machines to run containers")
    self_termination.replace_machine(run.ec2, unfit)
    machines = wait_for(lambda: unfit not in run.machines() and run.working(), "a replacement")
    assert healthy in machines
    assert run.target(fleet) == 2
    assert run.service()["desiredCount"] == 2
    self_termination.terminate_machine(run.ecs, run.ec2, run.settings, healthy)


def test_a_step_that_is_refused_keeps_no_other_from_being_tried(
    emulator: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(emulator)
    fleet = run.start_ec2_fleet()
    machines = wait_for(run.working, "two machines to run containers")
    unreachable = boto3.client("ecs", **NOBODY)
    self_termination.terminate_machine(unreachable, run.ec2, run.settings, machines[0])
    assert run.target(fleet) == 0
    wait_for(lambda: not run.machines(), "all machines to terminate")
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1


def test_a_service_that_is_deleted_is_no_failure(
    emulator: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(emulator)
    run.ecs.delete_service(cluster=run.name, service=SERVICE, force=True)
    self_termination.terminate_machine(run.ecs, run.ec2, run.settings, "")
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.e2e
def test_workers_without_work_leave_no_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real worker on each machine and an empty queue."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with emulating(tmp_path, "-m dcp_worker") as endpoint:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        cloud, name = Cloud.make("idle"), f"App{uuid.uuid4().hex[:8]}"
        # Long enough for the last worker to start before the first one exits, on a busy computer.
        environment = cloud.environment(IDLE_SECONDS="20", ECS_CLUSTER=name, ECS_SERVICE=SERVICE)
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        run = Run(endpoint, {**environment, **keys}, name)
        fleet = run.start_ec2_fleet()
        wait_for(run.working, "two machines to run containers")
        wait_for(lambda: not run.machines(), "all machines to terminate")
        assert run.target(fleet) == 0
        assert run.service()["desiredCount"] == 0
