"""Lambda functions run as processes with their role, when called and on their schedule."""

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from emulated_app import client_of
from waiting import wait_for

from deployments.local.emulator_client import Emulator, start_emulator

CODE = """
import os, boto3
def handler(event, context):
    print("called")
    who = boto3.client("sts").get_caller_identity()
    queues = boto3.client("sqs").list_queues()
    if event.get("fail"):
        raise RuntimeError("told to fail")
    return {"event": event, "name": os.environ["NAME"], "queues": len(queues.get("QueueUrls", []))}
"""
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})

# One process: what its tests stand on is made once.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("functions")]


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator in which a minute of a schedule takes four seconds."""
    with start_emulator(
        tmp_path_factory.mktemp("fast"), Path(sys.executable), tick_seconds=0.1, speed=15
    ) as running:
        yield running


def make(emulator: Emulator, name: str, statements: list[dict[str, Any]]) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("net.py", CODE)
    iam = client_of(emulator, "iam")
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
    arn: str = client_of(emulator, "lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=f"arn:aws:iam::123456789012:role/{name}",
        Handler="net.handler",
        Timeout=60,
        Code={"ZipFile": packed.getvalue()},
        Environment={"Variables": {"NAME": name}},
    )["FunctionArn"]
    return arn


ALLOWED = [{"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}]


def test_a_function_is_called_with_its_role(fast: Emulator) -> None:
    make(fast, "called", ALLOWED)
    invoke = client_of(fast, "lambda").invoke
    answer = invoke(FunctionName="called", Payload=b'{"a": 1}')
    assert json.load(answer["Payload"]) == {"event": {"a": 1}, "name": "called", "queues": 0}
    failed = invoke(FunctionName="called", Payload=b'{"fail": true}')
    assert failed["FunctionError"] == "Unhandled"
    assert "told to fail" in json.load(failed["Payload"])["errorMessage"]
    events = client_of(fast, "logs").filter_log_events(logGroupName="/aws/lambda/called")["events"]
    assert "called" in [one["message"] for one in events]


def test_a_function_may_do_what_its_role_may(fast: Emulator) -> None:
    fast.record()
    make(fast, "refused", [{"Effect": "Deny", "Action": "*", "Resource": "*"}])
    answer = client_of(fast, "lambda").invoke(FunctionName="refused")
    assert "AccessDenied" in json.load(answer["Payload"])["errorMessage"]
    asked = [one for one in fast.requests() if one["who"] == "function"]
    assert [one["operation"] for one in asked] == ["GetCallerIdentity", "ListQueues"]
    assert asked[1]["code"] == "AccessDenied"


def test_a_function_runs_on_its_schedule(fast: Emulator) -> None:
    arn = make(fast, "scheduled", ALLOWED)
    iam, scheduler = client_of(fast, "iam"), client_of(fast, "scheduler")
    scheduler.create_schedule(
        Name="often",
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": arn,
            "RoleArn": "arn:aws:iam::123456789012:role/schedule",
            "Input": '{"due": "<aws.scheduler.scheduled-time>"}',
        },
    )

    def told(kind: str) -> list[dict[str, Any]]:
        return [one for one in fast.events() if one["kind"] == kind]

    fast.set_account(enforce=True)
    wait_for(lambda: told("schedule-failed"), "the schedule whose role is not there")
    iam.create_role(RoleName="schedule", AssumeRolePolicyDocument=TRUST)
    wait_for(lambda: len(told("schedule-failed")) >= 2, "the schedule whose role may not call")
    fast.set_account(enforce=False)
    allowed = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_role_policy(RoleName="schedule", PolicyName="p", PolicyDocument=policy)

    def calls() -> list[dict[str, Any]]:
        return [one for one in told("function-invoked") if one["function"] == "scheduled"]

    def a_minute_apart() -> bool:
        # Calls run side by side, and a later one may have ended before an earlier one.
        answers = [json.loads(one["answer"])["event"]["due"] for one in calls()]
        due = {datetime.fromisoformat(answer) for answer in answers}
        return any(moment + timedelta(minutes=1) in due for moment in due)

    wait_for(a_minute_apart, "two calls by the schedule, of two minutes that follow each other")
    scheduler.delete_schedule(Name="often")
    assert not any(one["failed"] for one in calls())
