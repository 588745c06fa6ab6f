"""Idle alarms of machines that are gone are removed, a hundred in a request."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.stub import Stubber
from paid_machines import counted

from tasks.resources import cpu_alarms
from tasks.resources.cpu_alarms import alarm_names, delete_alarms, delete_alarms_of
from tasks.runs.run import Run

ALARM: Any = {
    "MetricName": "CPUUtilization",
    "Namespace": "AWS/EC2",
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 15,
    "Threshold": 1.0,
    "ComparisonOperator": "LessThanThreshold",
}


def put_alarms(run: Run, *machines: str) -> None:
    for machine in machines:
        run.aws.cloudwatch.put_metric_alarm(AlarmName=run.names.alarm(machine), **ALARM)


def test_a_request_for_each_hundred_and_none_for_none(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(cpu_alarms.time, "sleep", pauses.append)
    with counted(run) as calls:
        assert delete_alarms_of(run, [])
        assert calls == {}
        assert delete_alarms_of(run, [f"i-{number}" for number in range(250)])
    assert calls == {"DeleteAlarms": 3}
    assert len(pauses) == 2
    assert min(pauses) >= 1 / 3, "CloudWatch takes three a second"


@pytest.mark.parametrize(("code", "gone"), [("ResourceNotFound", True), ("AccessDenied", False)])
def test_one_that_was_never_there_is_gone_and_a_refusal_is_not_raised(
    run: Run, code: str, gone: bool
) -> None:
    with Stubber(run.aws.cloudwatch) as stub:
        stub.add_client_error("delete_alarms", code)
        assert delete_alarms_of(run, ["i-0"]) is gone


def test_at_the_end_none_is_left_of_any_machine_and_others_keep_theirs(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_alarms, "SECONDS_APART", 0)
    run, other = make_run("Lab"), make_run("Lab_2", aws_bucket="lab-2-bucket")
    put_alarms(run, *(f"i-{number:x}" for number in range(130)))
    put_alarms(other, "i-1")
    run.aws.cloudwatch.put_metric_alarm(AlarmName=f"{run.names.app}_i-own words", **ALARM)
    assert delete_alarms(run) == 130
    assert alarm_names(run) == []
    assert alarm_names(other) == [other.names.alarm("i-1")]
    prefix = run.names.alarm_prefix
    left = run.aws.cloudwatch.describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    assert [one["AlarmName"] for one in left] == [f"{prefix}own words"], "it is nobody's machine's"
