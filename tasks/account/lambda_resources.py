"""The safety net in AWS: a Lambda function of one file, its log group, and its schedule."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from tasks.account.resource import MISSING, NAME_TAKEN, TAG, UP_TO_DATE, ResourceState
from tasks.aws.errors import error_code
from tasks.resources.log_groups import RETENTION_DAYS

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

SOURCE = Path(__file__).with_name("safety_net.py")
RUNTIME = "python3.13"
TIMEOUT_SECONDS = 300
MEMORY_MB = 256
SCHEDULE_RATE = "rate(15 minutes)"
# The net uses the scheduled time, in which calls are exactly 15 minutes apart even if one is
# delivered late (EventBridge Scheduler User Guide, "Adding context attributes").
EVENT = json.dumps({"time": "<aws.scheduler.scheduled-time>"})
ROLE_READY_SECONDS = 60
# Errors of Lambda and Scheduler for a new role that IAM has not propagated yet (IAM User Guide,
# "Changes that I make are not always immediately visible").
ROLE_NOT_READY = frozenset({"InvalidParameterValueException", "ValidationException"})


def _is_role_not_ready(error: BaseException) -> bool:
    return error_code(error) in ROLE_NOT_READY and "role" in str(error).lower()


retry_until_role_is_ready = retry(
    retry=retry_if_exception(_is_role_not_ready),
    wait=wait_fixed(3),
    stop=stop_after_delay(ROLE_READY_SECONDS),
    reraise=True,
)


def archive() -> bytes:
    """The function's code as a ZIP file for Lambda; the same source gives the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(SOURCE.name, date_time=(2000, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16  # readable for Lambda's user
        archive.writestr(entry, SOURCE.read_bytes())
    return packed.getvalue()


@dataclass(frozen=True)
class LambdaFunction:
    """The Lambda function.

    Attributes:
        lambda_: The client.
        owner: The name of the set-up.
        name: The function's name.
        role: ARN of its role.
        environment: Its environment.
    """

    lambda_: Any
    owner: str
    name: str
    role: str
    environment: Mapping[str, str]

    @property
    def description(self) -> str:
        """Description for people."""
        return f"Lambda function {self.name}"

    def check(self) -> ResourceState:
        """Its current state."""
        function = self._function()
        if function is None:
            return MISSING
        if function.get("Tags", {}).get(TAG) != self.owner:
            return NAME_TAKEN
        current = function["Configuration"]
        wrong = [key for key, value in self._configuration().items() if current.get(key) != value]
        if current["CodeSha256"] != base64.b64encode(hashlib.sha256(archive()).digest()).decode():
            wrong.append("its code")
        return ResourceState("differs", ", ".join(wrong)) if wrong else UP_TO_DATE

    @retry_until_role_is_ready
    def ensure(self, before: ResourceState) -> None:
        """Create the function, or update its code and settings."""
        configuration = self._configuration()
        if before == MISSING:
            self.lambda_.create_function(
                FunctionName=self.name,
                Code={"ZipFile": archive()},
                Description="Terminates machines of dcp runs that have no flow and no jobs",
                Tags={TAG: self.owner},
                **configuration,
            )
            return
        self.lambda_.update_function_configuration(FunctionName=self.name, **configuration)
        # Lambda accepts one update of a function at a time (AWS Lambda Developer Guide, "Lambda
        # function states").
        self.lambda_.get_waiter("function_updated_v2").wait(FunctionName=self.name)
        self.lambda_.update_function_code(FunctionName=self.name, ZipFile=archive())

    def remove(self) -> None:
        """Remove it if dcp created it."""
        function = self._function()
        if function is not None and function.get("Tags", {}).get(TAG) == self.owner:
            self.lambda_.delete_function(FunctionName=self.name)

    def _configuration(self) -> dict[str, Any]:
        return {
            "Runtime": RUNTIME,
            "Role": self.role,
            "Handler": f"{SOURCE.stem}.handler",
            "Timeout": TIMEOUT_SECONDS,
            "MemorySize": MEMORY_MB,
            "Environment": {"Variables": dict(self.environment)},
        }

    def _function(self) -> Any:
        try:
            return self.lambda_.get_function(FunctionName=self.name)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return None
            raise


@dataclass(frozen=True)
class LogGroup:
    """The function's log group, created before it so that its logs expire."""

    logs: "CloudWatchLogsClient"
    owner: str
    name: str

    @property
    def description(self) -> str:
        """Description for people."""
        return f"log group {self.name}"

    def check(self) -> ResourceState:
        """Its current state."""
        group = self._group()
        if group is None:
            return MISSING
        if not self._ours(group):
            return NAME_TAKEN
        days = group.get("retentionInDays")
        if days == RETENTION_DAYS:
            return UP_TO_DATE
        return ResourceState("differs", f"retention: {f'{days} days' if days else 'forever'}")

    def ensure(self, before: ResourceState) -> None:
        """Create it, or reset its retention."""
        if before == MISSING:
            self.logs.create_log_group(logGroupName=self.name, tags={TAG: self.owner})
        self.logs.put_retention_policy(logGroupName=self.name, retentionInDays=RETENTION_DAYS)

    def remove(self) -> None:
        """Remove it if dcp created it."""
        group = self._group()
        if group is not None and self._ours(group):
            self.logs.delete_log_group(logGroupName=self.name)

    def _group(self) -> Any:
        pages = self.logs.get_paginator("describe_log_groups").paginate(
            logGroupNamePrefix=self.name
        )
        groups = (group for page in pages for group in page["logGroups"])
        return next((group for group in groups if group.get("logGroupName") == self.name), None)

    def _ours(self, group: Any) -> bool:
        arn = group["arn"].removesuffix(":*")
        return self.logs.list_tags_for_resource(resourceArn=arn)["tags"].get(TAG) == self.owner


@dataclass(frozen=True)
class Schedule:
    """The schedule that calls the function every 15 minutes, in a schedule group of its own.

    Only groups can have tags. Deleting a group deletes its schedules (EventBridge Scheduler User
    Guide, "Managing a schedule group").

    Attributes:
        scheduler: The client.
        owner: The name of the set-up.
        name: The name of group and schedule.
        group_arn: ARN of the group.
        function: ARN of the function.
        role: ARN of the role that calls the function.
    """

    scheduler: Any
    owner: str
    name: str
    group_arn: str
    function: str
    role: str

    @property
    def description(self) -> str:
        """Description for people."""
        return f"schedule {self.name}"

    def check(self) -> ResourceState:
        """Its current state."""
        ours = self._group_is_ours()
        if ours is False:
            return NAME_TAKEN
        schedule = self._schedule() if ours else None
        if schedule is None:
            return MISSING
        wrong = [
            key
            for key, value in self._configuration().items()
            if not _contains(schedule.get(key), value)
        ]
        return ResourceState("differs", ", ".join(wrong)) if wrong else UP_TO_DATE

    @retry_until_role_is_ready
    def ensure(self, before: ResourceState) -> None:
        """Create group and schedule, or update the schedule."""
        if self._group_is_ours() is None:
            self.scheduler.create_schedule_group(
                Name=self.name, Tags=[{"Key": TAG, "Value": self.owner}]
            )
        save = (
            self.scheduler.create_schedule
            if self._schedule() is None
            else self.scheduler.update_schedule
        )
        save(Name=self.name, GroupName=self.name, **self._configuration())

    def remove(self) -> None:
        """Remove both if dcp created them."""
        if self._group_is_ours():
            self.scheduler.delete_schedule_group(Name=self.name)

    def _configuration(self) -> dict[str, Any]:
        return {
            "ScheduleExpression": SCHEDULE_RATE,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "State": "ENABLED",
            # No retries: the next call is only 15 minutes away.
            "Target": {
                "Arn": self.function,
                "RoleArn": self.role,
                "Input": EVENT,
                "RetryPolicy": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 600},
            },
        }

    def _group_is_ours(self) -> bool | None:
        """Whether the group is ours; None if it does not exist."""
        try:
            state = self.scheduler.get_schedule_group(Name=self.name)["State"]
            tags = self.scheduler.list_tags_for_resource(ResourceArn=self.group_arn)["Tags"]
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return None
            raise
        return None if state == "DELETING" else {"Key": TAG, "Value": self.owner} in tags

    def _schedule(self) -> Any:
        try:
            return self.scheduler.get_schedule(Name=self.name, GroupName=self.name)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return None
            raise


def _contains(current: Any, wanted: Any) -> bool:
    """Whether a response has the wanted values; AWS may add others."""
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(
            _contains(current.get(key), value) for key, value in wanted.items()
        )
    return bool(current == wanted)
