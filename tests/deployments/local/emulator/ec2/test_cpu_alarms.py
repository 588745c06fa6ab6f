"""The alarm on a machine's CPU terminates an idle machine, and keeps a busy one."""

from dataclasses import dataclass
from typing import Any

import pytest
from emulated_app import App, client_of
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_for

from deployments.local.emulator.ec2.cpu_alarms import breached


def put_alarm(app: App, instance_id: str, action: str, **more: Any) -> None:
    client_of(app.emulator, "cloudwatch").put_metric_alarm(
        AlarmName=f"{app.name}_{instance_id}",
        AlarmActions=[f"arn:aws:automate:us-east-1:ec2:{action}"],
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": "InstanceId", "Value": instance_id}],
        Statistic="Maximum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="LessThanThreshold",
        **more,
    )


def state_of(app: App, instance_id: str) -> str:
    names = [f"{app.name}_{instance_id}"]
    answer = client_of(app.emulator, "cloudwatch").describe_alarms(AlarmNames=names)
    [alarm] = answer["MetricAlarms"]
    assert alarm["AlarmName"] == names[0]
    state: str = alarm["StateValue"]
    return state


def test_a_machine_that_hangs_is_ended_and_one_that_works_is_not(app: App) -> None:
    app.cluster()
    fleet = app.fleet(2)
    app.service(2, mode="busy", cpu=1500)
    app.running(2)
    hangs, works = (container["instance_id"] for container in app.containers())
    for instance_id in (hangs, works):
        put_alarm(app, instance_id, "terminate")
    assert state_of(app, works) == "INSUFFICIENT_DATA"
    wait_for(lambda: state_of(app, works) == state_of(app, hangs) == "OK", "both to be busy")
    app.emulator.hang(hangs)
    wait_for(lambda: app.instance(hangs)["State"]["Name"] == "terminated", "its end")
    assert state_of(app, hangs) == "ALARM"
    assert app.instance(works)["State"]["Name"] == "running"
    assert state_of(app, works) == "OK"
    # The fleet replaces the terminated machine, and the service its container.
    wait_for(lambda: len(app.fleet_instances(fleet)) == 2, "a replacement")
    app.running(2)


def test_a_machine_is_rebooted_and_works_again(app: App) -> None:
    app.cluster()
    app.fleet(1)
    app.service(1)
    app.running(1)
    [container] = app.containers()
    put_alarm(app, container["instance_id"], "reboot")
    wait_for(lambda: app.tasks("STOPPED"), "the container killed")
    app.running(1)
    assert [container["instance_id"] for container in app.containers()] == [
        container["instance_id"]
    ]
    assert app.tasks("STOPPED")[0]["containers"][0]["exitCode"] == 137


def test_an_alarm_without_actions_does_nothing(app: App) -> None:
    app.cluster()
    app.fleet(1)
    [host] = wait_for(app.hosts, "a machine")
    instance_id = host["ec2InstanceId"]
    put_alarm(app, instance_id, "terminate", ActionsEnabled=False)
    wait_for(lambda: state_of(app, instance_id) == "ALARM", "the alarm")
    assert app.instance(instance_id)["State"]["Name"] == "running"


@dataclass
class Alarm:
    period: int = 300
    evaluation_periods: int = 3
    datapoints_to_alarm: int | None = None
    statistic: str = "Maximum"
    comparison_operator: str = "LessThanThreshold"
    threshold: float = 1.0


@pytest.mark.parametrize(
    ("alarm", "datapoints", "expected"),
    [
        (Alarm(), [0.0, 0.0], None),
        (Alarm(), [50.0, 0.0, 0.0, 0.9], True),
        (Alarm(), [0.0, 0.0, 1.0], False),
        (Alarm(datapoints_to_alarm=2), [0.0, 5.0, 0.0], True),
        (Alarm(period=600, evaluation_periods=1), [0.0, 2.0], False),
        (Alarm(period=600, evaluation_periods=1, statistic="Minimum"), [0.0, 2.0], True),
        (Alarm(period=60, evaluation_periods=1), [0.5], True),
    ],
)
def test_evaluation(alarm: Alarm, datapoints: list[float], expected: bool | None) -> None:
    assert breached(alarm, datapoints) is expected


@given(st.lists(st.floats(0, 100), max_size=8))
def test_only_the_last_periods_count(datapoints: list[float]) -> None:
    last = datapoints[-3:]
    expected = None if len(last) < 3 else all(datapoint < 1.0 for datapoint in last)
    assert breached(Alarm(), datapoints) is expected
