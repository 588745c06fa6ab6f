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

from tasks.account.resource import AS_MADE, IN_THE_WAY, MISSING, TAG, Look
from tasks.aws.errors import error_code
from tasks.resources.log_groups import RETENTION_DAYS

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

SOURCE = Path(__file__).with_name("safety_net.py")
RUNTIME = "python3.13"
SECONDS = 300
MEGABYTES = 256
EVERY = "rate(15 minutes)"
# The net counts in the schedule's own time, in which its calls are 15 minutes apart however late
# one is delivered (EventBridge Scheduler User Guide, "Adding context attributes").
EVENT = json.dumps({"time": "<aws.scheduler.scheduled-time>"})
ROLE_SETTLES_SECONDS = 60
# What Lambda and Scheduler say of a role that IAM has just made and does not show everywhere yet
# (IAM User Guide, "Changes that I make are not always immediately visible").
ROLE_NOT_YET = frozenset({"InvalidParameterValueException", "ValidationException"})


def _role_not_yet(error: BaseException) -> bool:
    return error_code(error) in ROLE_NOT_YET and "role" in str(error).lower()


when_role_is_known = retry(
    retry=retry_if_exception(_role_not_yet),
    wait=wait_fixed(3),
    stop=stop_after_delay(ROLE_SETTLES_SECONDS),
    reraise=True,
)


def archive() -> bytes:
    """The function's code as Lambda takes it; the same bytes for the same source."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(SOURCE.name, date_time=(2000, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16  # readable by Lambda's own user
        archive.writestr(entry, SOURCE.read_bytes())
    return packed.getvalue()


@dataclass(frozen=True)
class Function:
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
    def what(self) -> str:
        """What it is, for people."""
        return f"Lambda function {self.name}"

    def look(self) -> Look:
        """How it is now."""
        found = self._function()
        if found is None:
            return MISSING
        if found.get("Tags", {}).get(TAG) != self.owner:
            return IN_THE_WAY
        have = found["Configuration"]
        wrong = [key for key, value in self._settings().items() if have.get(key) != value]
        if have["CodeSha256"] != base64.b64encode(hashlib.sha256(archive()).digest()).decode():
            wrong.append("its code")
        return Look("differs", ", ".join(wrong)) if wrong else AS_MADE

    @when_role_is_known
    def make(self, found: Look) -> None:
        """Make the function, or bring code and settings up to date."""
        settings = self._settings()
        if found == MISSING:
            self.lambda_.create_function(
                FunctionName=self.name,
                Code={"ZipFile": archive()},
                Description="Ends machines of dcp that nobody watches and that have no work",
                Tags={TAG: self.owner},
                **settings,
            )
            return
        self.lambda_.update_function_configuration(FunctionName=self.name, **settings)
        # A function takes one change at a time (AWS Lambda Developer Guide, "Lambda function
        # states").
        self.lambda_.get_waiter("function_updated_v2").wait(FunctionName=self.name)
        self.lambda_.update_function_code(FunctionName=self.name, ZipFile=archive())

    def remove(self) -> None:
        """Remove it, if dcp made it."""
        found = self._function()
        if found is not None and found.get("Tags", {}).get(TAG) == self.owner:
            self.lambda_.delete_function(FunctionName=self.name)

    def _settings(self) -> dict[str, Any]:
        return {
            "Runtime": RUNTIME,
            "Role": self.role,
            "Handler": f"{SOURCE.stem}.handler",
            "Timeout": SECONDS,
            "MemorySize": MEGABYTES,
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
    """The log group of the function, made before it so that its logs are not kept for ever."""

    logs: "CloudWatchLogsClient"
    owner: str
    name: str

    @property
    def what(self) -> str:
        """What it is, for people."""
        return f"log group {self.name}"

    def look(self) -> Look:
        """How it is now."""
        group = self._group()
        if group is None:
            return MISSING
        if not self._ours(group):
            return IN_THE_WAY
        kept = group.get("retentionInDays")
        return AS_MADE if kept == RETENTION_DAYS else Look("differs", f"kept {kept or 'for ever'}")

    def make(self, found: Look) -> None:
        """Make it, or set again how long it is kept."""
        if found == MISSING:
            self.logs.create_log_group(logGroupName=self.name, tags={TAG: self.owner})
        self.logs.put_retention_policy(logGroupName=self.name, retentionInDays=RETENTION_DAYS)

    def remove(self) -> None:
        """Remove it, if dcp made it."""
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
    """What calls the function every 15 minutes, in a schedule group of its own.

    Only groups can be tagged, and deleting one deletes its schedules (EventBridge Scheduler User
    Guide, "Managing a schedule group").

    Attributes:
        scheduler: The client.
        owner: The name of the set-up.
        name: The name of group and schedule.
        group_arn: ARN of the group.
        function: ARN of the function.
        role: ARN of the role with which it is called.
    """

    scheduler: Any
    owner: str
    name: str
    group_arn: str
    function: str
    role: str

    @property
    def what(self) -> str:
        """What it is, for people."""
        return f"schedule {self.name}"

    def look(self) -> Look:
        """How it is now."""
        ours = self._group_is_ours()
        if ours is False:
            return IN_THE_WAY
        found = self._schedule() if ours else None
        if found is None:
            return MISSING
        wrong = [
            key for key, value in self._settings().items() if not _holds(found.get(key), value)
        ]
        return Look("differs", ", ".join(wrong)) if wrong else AS_MADE

    @when_role_is_known
    def make(self, found: Look) -> None:
        """Make group and schedule, or set the schedule again."""
        if self._group_is_ours() is None:
            self.scheduler.create_schedule_group(
                Name=self.name, Tags=[{"Key": TAG, "Value": self.owner}]
            )
        save = (
            self.scheduler.create_schedule
            if self._schedule() is None
            else self.scheduler.update_schedule
        )
        save(Name=self.name, GroupName=self.name, **self._settings())

    def remove(self) -> None:
        """Remove both, if dcp made them."""
        if self._group_is_ours():
            self.scheduler.delete_schedule_group(Name=self.name)

    def _settings(self) -> dict[str, Any]:
        return {
            "ScheduleExpression": EVERY,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "State": "ENABLED",
            # Two calls at a time would gain nothing, and the next one comes soon.
            "Target": {
                "Arn": self.function,
                "RoleArn": self.role,
                "Input": EVENT,
                "RetryPolicy": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 600},
            },
        }

    def _group_is_ours(self) -> bool | None:
        """Whether the group is ours; None when there is none."""
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


def _holds(have: Any, wanted: Any) -> bool:
    """Whether an answer has what was asked for; AWS may add to it."""
    if isinstance(wanted, dict):
        return isinstance(have, dict) and all(
            _holds(have.get(key), value) for key, value in wanted.items()
        )
    return bool(have == wanted)
