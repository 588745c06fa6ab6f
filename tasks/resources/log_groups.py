"""The log groups of an app: made with a limit on how long they are kept, exported at the end."""

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from blocks.errors import DcpError
from tasks.aws.errors import error_code
from tasks.runs import record
from tasks.runs.run import Run

RETENTION_DAYS = 60
EXPORT_SECONDS = 900  # for both groups, and for exports of others that come before
LOOK_SECONDS = 2
BUSY, NO_GROUP = "LimitExceededException", "ResourceNotFoundException"
GOING_ON = ("PENDING", "RUNNING", "PENDING_CANCEL")


class Export(BaseModel):
    """What of the logs was exported; in the run's record as `logs.json`.

    Attributes:
        until_ms: Up to when, in milliseconds since 1970.
        prefixes: Where it lies in `aws_bucket`.
    """

    model_config = ConfigDict(frozen=True)

    until_ms: int
    prefixes: tuple[str, ...]


def ensure_log_groups(run: Run) -> None:
    """Make the log groups of the jobs and of the instances, each kept for 60 days."""
    for group in (run.names.log_group, run.names.instance_log_group):
        try:
            run.aws.logs.create_log_group(logGroupName=group, tags=run.tags)
        except ClientError as error:
            if error_code(error) != "ResourceAlreadyExistsException":
                raise
        run.aws.logs.put_retention_policy(logGroupName=group, retentionInDays=RETENTION_DAYS)


def export_logs(run: Run, wait_seconds: float = EXPORT_SECONDS) -> tuple[str, ...]:
    """Export both log groups to `aws_bucket` below `exportedlogs/`, and wait for it.

    CloudWatch Logs runs one export at a time in an account, and needs a bucket policy that lets
    it write (CloudWatch Logs User Guide, "Export log data to Amazon S3"). What was exported after
    the end of the run is not exported again.

    Args:
        run: The run, which has a record.
        wait_seconds: How long to wait, for other exports of the account too.

    Returns:
        The prefixes written to.

    Raises:
        DcpError: The export ended otherwise than completed, or not in time; the text says how it
            is repeated.
        ClientError: AWS refused it.
    """
    kept = record.load(run)
    before = _exported(run)
    if kept is None:
        return ()
    if before and kept.ended_at and before.until_ms >= kept.ended_at.timestamp() * 1000:
        return before.prefixes
    give_up = time.monotonic() + wait_seconds
    until, prefixes = int(time.time() * 1000), []
    for group in (run.names.log_group, run.names.instance_log_group):
        prefix = f"exportedlogs/{group}"
        task = _begin(run, group, prefix, (kept.started_ms, until), give_up)
        if task:
            _await(run, group, task, give_up)
            prefixes.append(prefix)
    done = Export(until_ms=until, prefixes=tuple(prefixes))
    record.put(run, record.LOGS, done.model_dump_json())
    return done.prefixes


def _exported(run: Run) -> Export | None:
    text = record.read(run, record.LOGS)
    return Export.model_validate_json(text) if text else None


def _begin(run: Run, group: str, prefix: str, span: tuple[int, int], give_up: float) -> str | None:
    """Begin an export, once no other runs; returns its id, None when there is no such group."""

    def create() -> str | None:
        try:
            return run.aws.logs.create_export_task(
                taskName=f"{run.names.app}-{run.run_id}",
                logGroupName=group,
                fromTime=span[0],
                to=span[1],
                destination=run.config.aws_bucket,
                destinationPrefix=prefix,
            )["taskId"]
        except ClientError as error:
            if error_code(error) in (BUSY, NO_GROUP):
                return BUSY if error_code(error) == BUSY else None
            raise

    late = f"log group {group} is not exported, since other exports of the account run"
    begun: str | None = _until(create, (BUSY,), give_up, late)
    return begun


def _await(run: Run, group: str, task: str, give_up: float) -> None:
    def status() -> str:
        tasks = run.aws.logs.describe_export_tasks(taskId=task)["exportTasks"]
        return tasks[0]["status"]["code"] if tasks else "UNKNOWN"

    late = f"the export of log group {group} (task {task}) goes on in AWS"
    code: str = _until(status, GOING_ON, give_up, late)
    if code != "COMPLETED":
        raise DcpError(f"the export of log group {group} (task {task}) ended as {code}")


def _until(look: Callable[[], Any], while_: tuple[str, ...], give_up: float, late: str) -> Any:
    try:
        return Retrying(
            retry=retry_if_result(lambda seen: seen in while_),
            wait=wait_fixed(LOOK_SECONDS),
            stop=stop_after_delay(max(give_up - time.monotonic(), 0)),
        )(look)
    except RetryError as error:
        raise DcpError(
            f"{late}; it was waited for as long as it may. The logs stay in CloudWatch for "
            f"{RETENTION_DAYS} days; the clean-up, repeated, exports them."
        ) from error
