"""Deletes the idle alarms of terminated machines, a hundred per request."""

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


def test_one_request_per_hundred_alarms(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(cpu_alarms.time, "sleep", pauses.append)
    with counted(run) as calls:
        assert delete_alarms_of(run, [])
        assert calls == {}
        assert delete_alarms_of(run, [f"i-{number}" for number in range(250)])
    assert calls == {"DeleteAlarms": 3}
    assert len(pauses) == 2
    assert min(pauses) >= 1 / 3, "CloudWatch accepts three requests per second"


@pytest.mark.parametrize(("code", "deleted"), [("ResourceNotFound", True), ("AccessDenied", False)])
def test_a_missing_alarm_counts_as_deleted_and_errors_are_not_raised(
    run: Run, code: str, deleted: bool
) -> None:
    with Stubber(run.aws.cloudwatch) as stub:
        stub.add_client_error("delete_alarms", code)
        assert delete_alarms_of(run, ["i-0"]) is deleted


def test_delete_alarms_deletes_all_alarms_of_this_app_only(
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
    remaining = run.aws.cloudwatch.describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    names = [alarm["AlarmName"] for alarm in remaining]
    assert names == [f"{prefix}own words"], "it belongs to no machine"
