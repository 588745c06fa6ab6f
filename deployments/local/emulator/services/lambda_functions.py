"""Lambda functions in Python, as processes; and EventBridge Scheduler, which invokes them.

moto stores functions and schedules, but runs none without Docker. Sources: "Define Lambda function
handler in Python" and "Defined runtime environment variables" in the AWS Lambda Developer Guide;
"Schedule types in EventBridge Scheduler" (`rate`) and "Adding context attributes in EventBridge
Scheduler" in the EventBridge Scheduler User Guide.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.core.utils import unix_time_millis
from moto.scheduler.models import scheduler_backends
from werkzeug.wrappers import Response

from deployments.local.emulator.core.role_credentials import role_credentials
from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import EmulatorState, Region
from deployments.local.emulator.guards.iam_policies import allows
from deployments.local.emulator.guards.iam_principals import find_role, policies_of
from deployments.local.emulator.protocol.request import ApiRequest

RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
# Calls the handler with the event on standard input; its result is the last line of the output.
CALL = """
import importlib, json, logging, sys
logging.basicConfig(stream=sys.stderr)
module, _, name = sys.argv[1].rpartition(".")
handler = getattr(importlib.import_module(module.replace("/", ".")), name)
answer = handler(json.load(sys.stdin), None)
print()
print(json.dumps(answer))
"""


@dataclass(frozen=True)
class InvocationResult:
    """The outcome of an invocation.

    Attributes:
        answer: The handler's return value, as JSON.
        failed: Whether it raised an exception or timed out.
    """

    answer: str
    failed: bool


def call(emulator: EmulatorState, region: Region, function: Any, event: str) -> InvocationResult:
    """Run a function once, in a process with its role's credentials and its environment."""
    folder = (
        emulator.settings.root / "functions" / f"{function.function_name}-{uuid.uuid4().hex[:8]}"
    )
    zipfile.ZipFile(io.BytesIO(function.code_bytes)).extractall(folder)
    try:
        done = subprocess.run(
            [sys.executable, "-c", CALL, function.handler],
            input=event,
            env=_environment(emulator, region, function),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=function.timeout,
        )
        output, text, failed = done.stdout, done.stderr, done.returncode != 0
    except subprocess.TimeoutExpired:
        output, text, failed = "", f"Task timed out after {function.timeout}.00 seconds", True
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    printed, _, answer = output.rstrip("\n").rpartition("\n")
    _log(region, function, f"{printed}\n{text}")
    if failed:
        reason = text.strip().splitlines()[-1:] or ["Runtime exited"]
        answer = json.dumps({"errorMessage": reason[0], "errorType": "Runtime.Error"})
    emulator.record_event(
        "function-invoked", function=function.function_name, failed=failed, answer=answer
    )
    return InvocationResult(answer, failed)


def _environment(emulator: EmulatorState, region: Region, function: Any) -> dict[str, str]:
    name = function.function_name
    credentials = role_credentials(emulator, f"function/{name}", function.role)
    return {
        "PATH": os.defpath,
        "HOME": os.devnull,
        "LANG": "C.UTF-8",
        **function.environment_vars,
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["Token"],
        "AWS_REGION": region.name,
        "AWS_DEFAULT_REGION": region.name,
        "AWS_ENDPOINT_URL": emulator.endpoint_url,
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "_HANDLER": function.handler,
    }


def _log(region: Region, function: Any, text: str) -> None:
    group, stream = f"/aws/lambda/{function.function_name}", uuid.uuid4().hex
    now = int(unix_time_millis())
    events = [{"timestamp": now, "message": line} for line in text.splitlines() if line.strip()]
    if group not in region.logs.groups:
        region.logs.create_log_group(group, {})
    region.logs.create_log_stream(group, stream)
    if events:
        region.logs.put_log_events(group, stream, events)


def invocation(emulator: EmulatorState, api_request: ApiRequest) -> Response | None:
    """The response to Invoke; None for other requests and unknown functions."""
    if api_request.service != "lambda" or api_request.operation != "Invoke":
        return None
    region = emulator.region(api_request.region)
    function = _function(region, str(api_request.parameters["FunctionName"]))
    if function is None:
        return None
    payload = api_request.parameters.get("Payload") or b"{}"
    event = payload.decode() if isinstance(payload, bytes) else str(payload)
    if api_request.parameters.get("InvocationType") == "Event":
        threading.Thread(target=call, args=(emulator, region, function, event), daemon=True).start()
        return Response("", 202)
    done = call(emulator, region, function, event)
    headers = {"X-Amz-Function-Error": "Unhandled"} if done.failed else {}
    return Response(done.answer, 200, headers, content_type="application/json")


def _function(region: Region, name_or_arn: str) -> Any:
    name = name_or_arn.partition(":function:")[2].partition(":")[0] or name_or_arn
    functions = lambda_backends[ACCOUNT_ID][region.name].list_functions()
    return next((function for function in functions if function.function_name == name), None)


def run_schedules(emulator: EmulatorState, region: Region) -> None:
    """Invoke the functions whose schedule is due, each in a separate thread.

    A schedule first runs one period after its creation. The scheduled time that it passes on
    advances by one full period per run, even if periods are shortened.
    """
    for group in scheduler_backends[ACCOUNT_ID][region.name].schedule_groups.values():
        for schedule in list(group.schedules.values()):
            rate = RATE.fullmatch(schedule.schedule_expression)
            if schedule.state != "ENABLED" or rate is None:
                continue
            every = int(rate[1]) * SECONDS[rate[2]]
            passes = every / emulator.settings.speed
            first = (time.monotonic() + passes, schedule.creation_date + every)
            due, scheduled_at = emulator.schedules.setdefault(schedule.arn, first)
            if time.monotonic() >= due:
                emulator.schedules[schedule.arn] = (due + passes, scheduled_at + every)
                _start(emulator, region, schedule, scheduled_at)


def _start(emulator: EmulatorState, region: Region, schedule: Any, scheduled_at: float) -> None:
    target = schedule.target
    function = _function(region, target["Arn"])
    role = find_role(str(target["RoleArn"]).rpartition("/")[2])
    if role is None:
        may = not emulator.account.enforce
    else:
        may = allows(policies_of(role), "lambda:InvokeFunction", target["Arn"], {})
    if function is None:
        emulator.record_event(
            "schedule-failed", schedule=schedule.name, reason=f"there is no {target['Arn']}"
        )
    elif not may:
        reason = f"{target['RoleArn']} may not call {target['Arn']}"
        emulator.record_event("schedule-failed", schedule=schedule.name, reason=reason)
    else:
        event = _event(schedule, scheduled_at)
        threading.Thread(target=call, args=(emulator, region, function, event), daemon=True).start()


def _event(schedule: Any, scheduled_at: float) -> str:
    """The target's input with the context attributes filled in."""
    event = str(schedule.target.get("Input") or "{}")
    attributes = {
        "schedule-arn": schedule.arn,
        "scheduled-time": f"{datetime.fromtimestamp(scheduled_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "execution-id": uuid.uuid4().hex[:16],
        "attempt-number": "1",
    }
    for name, value in attributes.items():
        event = event.replace(f"<aws.scheduler.{name}>", value)
    return event
