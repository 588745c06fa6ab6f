"""Machines that never register, lose their connection, hang, are interrupted, and disappear."""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated_app import IMAGE_ID, ROLE, App
from stand_in_worker import STAND_IN
from waiting import wait_for

from deployments.local.emulator_client import start_emulator

pytestmark = pytest.mark.e2e

Chaos = Callable[..., None]


def events(app: App, kind: str, instance_id: str) -> list[dict[str, Any]]:
    recorded = app.emulator.events()
    return [
        event for event in recorded if event["kind"] == kind and event["instance_id"] == instance_id
    ]


def machine(app: App, fleet: str) -> str:
    [instance_id] = wait_for(lambda: app.fleet_instances(fleet), "a machine")
    return str(instance_id)


def served(app: App) -> tuple[str, dict[str, Any]]:
    """One machine with one running container; returns the fleet and the container."""
    app.cluster()
    fleet = app.fleet(1)
    app.service(1)
    app.running(1)
    [container] = app.containers()
    return fleet, container


def metadata(app: App, instance_id: str, path: str) -> str | None:
    base = f"{app.emulator.endpoint_url}/_dcp/imds/{instance_id}/latest"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(f"{base}/api/token", method="PUT")) as answer:
        token = {"X-aws-ec2-metadata-token": answer.read().decode()}
    try:
        with opener.open(urllib.request.Request(f"{base}/{path}", headers=token)) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None


def test_a_machine_without_a_route_runs_and_never_registers(app: App, chaos: Chaos) -> None:
    chaos(unregistered=1)
    app.cluster()
    fleet = app.fleet(1)
    app.service(1)
    one = machine(app, fleet)
    wait_for(lambda: app.instance(one)["State"]["Name"] == "running", "running")
    wait_for(lambda: "No Container Instances were found" in str(app.state()["events"]), "an event")
    assert app.hosts() == []
    chaos(unregistered=0)
    wait_for(app.hosts, "the route")


def test_a_machine_registers_late(app: App, chaos: Chaos) -> None:
    chaos(register_late=10)
    app.cluster()
    fleet = app.fleet(1)
    one = machine(app, fleet)
    wait_for(lambda: app.instance(one)["State"]["Name"] == "running", "running")
    assert app.hosts() == []
    [launched] = events(app, "instance-launched", one)
    [registered] = wait_for(lambda: events(app, "registered", one), "registration")
    assert registered["time"] - launched["time"] >= 10


def test_a_disconnected_machine_gets_no_tasks_and_reports_nothing(app: App) -> None:
    _, container = served(app)
    app.emulator.disconnect(container["instance_id"])
    [host] = app.hosts()
    assert host["agentConnected"] is False
    app.emulator.kill_container(container["task_id"])
    app.scale(2)
    wait_for(lambda: "unable to place" in str(app.state()["events"]), "no place")
    [task] = app.tasks()
    assert (task["lastStatus"], task["connectivity"]) == ("RUNNING", "DISCONNECTED")
    app.emulator.connect(container["instance_id"])
    app.running(2)
    assert container["task_arn"] in [task["taskArn"] for task in app.tasks("STOPPED")]


def test_a_stop_reaches_a_machine_when_it_is_connected_again(app: App) -> None:
    _, container = served(app)
    wait_for(lambda: app.lines(container["task_arn"]), "the container to have begun")
    app.emulator.disconnect(container["instance_id"])
    app.ecs.stop_task(cluster=app.name, task=container["task_arn"])
    app.scale(0)
    assert app.containers()[0]["desired_status"] == "STOPPED"
    assert app.state()["runningCount"] == 1
    app.emulator.connect(container["instance_id"])
    app.running(0)
    assert app.tasks("STOPPED")[0]["containers"][0]["exitCode"] == 0


def test_agents_are_lost_at_a_rate(app: App, chaos: Chaos) -> None:
    served(app)
    chaos(disconnects=1_000_000)
    wait_for(lambda: not app.hosts()[0]["agentConnected"], "a lost agent")


def test_a_machine_that_ends_cut_off_stays_until_it_is_deregistered(app: App) -> None:
    fleet, container = served(app)
    [host] = app.hosts()
    app.emulator.disconnect(container["instance_id"])
    app.ec2.delete_fleets(FleetIds=[fleet], TerminateInstances=True)
    wait_for(lambda: events(app, "task-started", container["instance_id"]), "its start")
    wait_for(
        lambda: app.instance(container["instance_id"])["State"]["Name"] == "terminated", "its end"
    )
    [left] = app.hosts()
    assert (left["agentConnected"], left["runningTasksCount"]) == (False, 1)
    reference = {"cluster": app.name, "containerInstance": host["containerInstanceArn"]}
    with pytest.raises(ClientError, match="running tasks"):
        app.ecs.deregister_container_instance(**reference)
    deregistered = app.ecs.deregister_container_instance(**reference, force=True)[
        "containerInstance"
    ]
    assert deregistered["status"] == "INACTIVE"
    assert app.hosts() == []
    assert "forced by user" in app.tasks("STOPPED")[0]["stoppedReason"]


def test_interruptions_come_at_a_rate_with_a_recommendation_before(app: App, chaos: Chaos) -> None:
    app.cluster()
    fleet = app.fleet(1)
    one = machine(app, fleet)
    assert metadata(app, one, "meta-data/events/recommendations/rebalance") is None
    chaos(interruptions=1_000_000, rebalance=60)
    wait_for(lambda: events(app, "interruption-notice", one), "a notice")
    [recommended] = events(app, "rebalance-recommendation", one)
    assert recommended["time"] <= events(app, "interruption-notice", one)[0]["time"]
    reported = json.loads(metadata(app, one, "meta-data/events/recommendations/rebalance") or "")
    notice = datetime.fromisoformat(reported["noticeTime"])
    assert abs(datetime.now(UTC) - notice) < timedelta(minutes=1)
    action = json.loads(metadata(app, one, "meta-data/spot/instance-action") or "")
    assert action["action"] == "terminate"
    [host] = wait_for(app.hosts, "registered")
    wait_for(lambda: app.hosts()[0]["status"] == "DRAINING", "draining")
    assert host["ec2InstanceId"] == one


def rebalancing(app: App, strategy: dict[str, Any]) -> tuple[str, str]:
    """A fleet with Capacity Rebalancing, with a rebalance recommendation for one machine."""
    options = {
        "AllocationStrategy": "price-capacity-optimized",
        "MaintenanceStrategies": {"CapacityRebalance": strategy},
    }
    fleet = app.fleet(1, SpotOptions=options)
    one = machine(app, fleet)
    app.emulator.recommend_rebalance(one)
    return fleet, one


def test_a_replacement_is_launched_ahead_and_both_go_on(app: App) -> None:
    fleet, one = rebalancing(app, {"ReplacementStrategy": "launch"})
    both = wait_for(
        lambda: found if len(found := app.fleet_instances(fleet)) == 2 else None, "a replacement"
    )
    assert one in both
    found = app.ec2.describe_fleets(FleetIds=[fleet])["Fleets"][0]
    assert (found["FulfilledCapacity"], found["ActivityStatus"]) == (2, "pending_termination")
    app.emulator.interrupt(one, 0)
    wait_for(lambda: app.fleet_instances(fleet) == [both[1]], "the old one gone")
    launched = [event for event in app.fleet_history(fleet) if event["EventSubType"] == "launched"]
    assert len(launched) == 2


def test_a_replaced_machine_is_ended_after_the_delay(app: App) -> None:
    strategy = {"ReplacementStrategy": "launch-before-terminate", "TerminationDelay": 120}
    fleet, one = rebalancing(app, strategy)
    both = wait_for(
        lambda: found if len(found := app.fleet_instances(fleet)) == 2 else None, "a replacement"
    )
    assert one in both
    wait_for(lambda: app.fleet_instances(fleet) == [both[1]], "the old one gone")
    [launched] = events(app, "instance-launched", both[1])
    [reported] = [each for each in app.fleet_history(fleet) if each["EventSubType"] == "terminated"]
    assert reported["InstanceId"] == one
    assert time.time() - launched["time"] >= 1.2


def test_a_spot_fleet_replaces_ahead_as_well(app: App) -> None:
    strategy = {"ReplacementStrategy": "launch-before-terminate", "TerminationDelay": 120}
    request = app.ec2.request_spot_fleet(
        SpotFleetRequestConfig={
            "IamFleetRole": ROLE,
            "TargetCapacity": 1,
            "SpotMaintenanceStrategies": {"CapacityRebalance": strategy},
            "LaunchSpecifications": [
                {"ImageId": IMAGE_ID, "InstanceType": "m5.large", "UserData": app.user_data}
            ],
        }
    )["SpotFleetRequestId"]

    def there() -> list[str]:
        found = app.ec2.describe_spot_fleet_instances(SpotFleetRequestId=request)
        return [active_instance["InstanceId"] for active_instance in found["ActiveInstances"]]

    [one] = wait_for(there, "a machine")
    app.emulator.recommend_rebalance(one)
    wait_for(lambda: len(there()) == 2, "a replacement")
    wait_for(lambda: len(there()) == 1 and there() != [one], "the old one gone")
    app.ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[request], TerminateInstances=True)


def test_without_capacity_the_machine_at_risk_is_not_given_up(app: App, chaos: Chaos) -> None:
    strategy = {"ReplacementStrategy": "launch-before-terminate", "TerminationDelay": 120}
    options = {"MaintenanceStrategies": {"CapacityRebalance": strategy}}
    fleet = app.fleet(1, SpotOptions=options)
    one = machine(app, fleet)
    chaos(no_capacity=["m5.large"])
    app.emulator.recommend_rebalance(one)
    wait_for(
        lambda: ("error", "allLaunchSpecsTemporarilyBlacklisted") in app.subtypes(fleet),
        "an error in the history",
    )
    assert app.fleet_instances(fleet) == [one]


@pytest.mark.parametrize("kind", ["ec2", "spot"])
def test_expiry_takes_machines_and_containers_along(app: App, kind: str) -> None:
    app.cluster()
    app.service(1)
    until = datetime.now(UTC) + timedelta(seconds=3)
    if kind == "ec2":
        app.fleet(1, ValidUntil=until, TerminateInstancesWithExpiration=True)
    else:
        app.ec2.request_spot_fleet(
            SpotFleetRequestConfig={
                "IamFleetRole": ROLE,
                "TargetCapacity": 1,
                "ValidUntil": until,
                "TerminateInstancesWithExpiration": True,
                "LaunchSpecifications": [
                    {
                        "ImageId": IMAGE_ID,
                        "InstanceType": "m5.large",
                        "UserData": app.user_data,
                    }
                ],
            }
        )
    app.running(1)
    [container] = app.containers()
    one = container["instance_id"]
    wait_for(lambda: app.instance(one)["State"]["Name"] == "terminated", "the machine ended")
    wait_for(lambda: not app.containers(), "the container ended")
    wait_for(lambda: not app.hosts(), "deregistered")
    stopped = app.tasks("STOPPED")[0]
    assert stopped["stopCode"] == "TerminationNotice"
    assert one in stopped["stoppedReason"]


def test_ended_machines_are_forgotten_after_a_time(tmp_path: Path) -> None:
    with start_emulator(
        tmp_path,
        Path(sys.executable),
        container_command=[str(STAND_IN)],
        boot_seconds=0.1,
        tick_seconds=0.1,
        terminated_seconds=1,
    ) as emulator:
        app = App("Forgotten", emulator)
        one = machine(app, app.fleet(1))
        app.ec2.terminate_instances(InstanceIds=[one])
        assert app.instance(one)["State"]["Name"] == "terminated"

        def gone() -> bool:
            try:
                return not app.ec2.describe_instances(InstanceIds=[one])["Reservations"]
            except ClientError as error:
                return bool(error.response["Error"]["Code"] == "InvalidInstanceID.NotFound")

        wait_for(gone, "forgotten")
        left = app.ec2.describe_instances()["Reservations"]
        assert one not in [each["InstanceId"] for part in left for each in part["Instances"]]
