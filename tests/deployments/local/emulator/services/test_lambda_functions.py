"""Lambda functions run as processes with their role, on invocation and on their schedule."""

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
        raise RuntimeError("this call must fail")
    return {"event": event, "name": os.environ["NAME"], "queues": len(queues.get("QueueUrls", []))}
"""
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})

# One process: the fixtures are created once.
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
    assert "this call must fail" in json.load(failed["Payload"])["errorMessage"]
    events = client_of(fast, "logs").filter_log_events(logGroupName="/aws/lambda/called")["events"]
    assert "called" in [event["message"] for event in events]


def test_a_function_has_the_permissions_of_its_role(fast: Emulator) -> None:
    fast.record()
    make(fast, "refused", [{"Effect": "Deny", "Action": "*", "Resource": "*"}])
    answer = client_of(fast, "lambda").invoke(FunctionName="refused")
    assert "AccessDenied" in json.load(answer["Payload"])["errorMessage"]
    requests = [request for request in fast.requests() if request["who"] == "function"]
    assert [request["operation"] for request in requests] == ["GetCallerIdentity", "ListQueues"]
    assert requests[1]["code"] == "AccessDenied"


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

    def events_of(kind: str) -> list[dict[str, Any]]:
        return [event for event in fast.events() if event["kind"] == kind]

    fast.set_account(enforce=True)
    wait_for(lambda: events_of("schedule-failed"), "the schedule with a missing role")
    iam.create_role(RoleName="schedule", AssumeRolePolicyDocument=TRUST)
    wait_for(lambda: len(events_of("schedule-failed")) >= 2, "the schedule without permission")
    fast.set_account(enforce=False)
    allowed = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_role_policy(RoleName="schedule", PolicyName="p", PolicyDocument=policy)

    def calls() -> list[dict[str, Any]]:
        return [
            event for event in events_of("function-invoked") if event["function"] == "scheduled"
        ]

    def a_minute_apart() -> bool:
        # Calls overlap, and a later one may finish before an earlier one.
        answers = [json.loads(call["answer"])["event"]["due"] for call in calls()]
        due = {datetime.fromisoformat(answer) for answer in answers}
        return any(moment + timedelta(minutes=1) in due for moment in due)

    wait_for(a_minute_apart, "two scheduled calls in consecutive minutes")
    scheduler.delete_schedule(Name="often")
    assert not any(call["failed"] for call in calls())
