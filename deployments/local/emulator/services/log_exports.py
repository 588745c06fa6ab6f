"""Log exports like those of CloudWatch Logs: one at a time, only to a bucket that allows it.

Sources: CreateExportTask in the Amazon CloudWatch Logs API Reference; "Export log data to Amazon
S3" in the Amazon CloudWatch Logs User Guide.
"""

import json
import time
from typing import Any

from moto.logs.exceptions import InvalidParameterException
from moto.logs.models import LogsBackend
from moto.s3.models import s3_backends

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.guards.iam_policies import Document, allows, listed
from deployments.local.emulator.protocol.exceptions import ApiError

create = LogsBackend.create_export_task
describe = LogsBackend.describe_export_tasks


def replace(export_seconds: float) -> None:
    """Give moto's exports this duration, and make them check the bucket's policy."""
    ends: dict[str, float] = {}

    def settle(backend: Any) -> None:
        for task_id, task in backend.export_tasks.items():
            running = time.monotonic() < ends.get(task_id, 0.0)
            task.status["code"] = "RUNNING" if running else "COMPLETED"

    def create_export_task(self: Any, **parameters: Any) -> str:
        settle(self)
        if any(
            export_task.status["code"] == "RUNNING" for export_task in self.export_tasks.values()
        ):
            raise ApiError("LimitExceededException", "Resource limit exceeded.")
        _check_bucket(self.region_name, parameters)
        task_id: str = create(self, **parameters)
        ends[task_id] = time.monotonic() + export_seconds
        return task_id

    def describe_export_tasks(self: Any, task_id: str) -> Any:
        settle(self)
        return describe(self, task_id)

    # mypy rejects plain assignments to a class.
    setattr(LogsBackend, "create_export_task", create_export_task)  # noqa: B010
    setattr(LogsBackend, "describe_export_tasks", describe_export_tasks)  # noqa: B010


def _check_bucket(region: str, parameters: dict[str, Any]) -> None:
    name = parameters["destination"]
    bucket = s3_backends[ACCOUNT_ID]["aws"].buckets.get(name)
    if bucket is None:
        return  # moto refuses the request
    policy = json.loads(bucket.policy) if bucket.policy else {}
    group = f"arn:aws:logs:{region}:{ACCOUNT_ID}:log-group:{parameters['logGroupName']}"
    for action, resource in (
        ("s3:GetBucketAcl", f"arn:aws:s3:::{name}"),
        ("s3:PutObject", f"arn:aws:s3:::{name}/{parameters['destinationPrefix']}/a"),
    ):
        if not lets_export(policy, region, group, action, resource):
            call = action.partition(":")[2]
            raise InvalidParameterException(
                f"{call} call on the given bucket failed. Please check if CloudWatch Logs has been "
                "granted permission to perform this operation."
            )


def lets_export(policy: Document, region: str, group: str, action: str, resource: str) -> bool:
    """Whether a bucket's policy allows CloudWatch Logs an action of a log group's export."""
    exporter = f"logs.{region}.amazonaws.com"
    statements = [
        statement
        for statement in listed(policy.get("Statement", []))
        if _is_for(statement, exporter)
    ]
    context = {
        "aws:SourceAccount": ACCOUNT_ID,
        "aws:SourceArn": f"{group}:*",
        "s3:x-amz-acl": "bucket-owner-full-control",
    }
    return allows([{"Statement": statements}], action, resource, context)


def _is_for(statement: Document, service: str) -> bool:
    principal = statement.get("Principal", {})
    if principal == "*":
        return True
    return {service, "*"} & set(listed(principal.get("Service", []))) != set()
