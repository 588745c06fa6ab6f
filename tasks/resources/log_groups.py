"""The log groups of an app: created with a retention period, exported after the run."""

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
EXPORT_SECONDS = 900  # for both groups, including the wait for other exports of the account
POLL_SECONDS = 2
BUSY, NO_GROUP = "LimitExceededException", "ResourceNotFoundException"
UNFINISHED = ("PENDING", "RUNNING", "PENDING_CANCEL")


class Export(BaseModel):
    """The exported logs; in the run's record as `logs.json`.

    Attributes:
        until_ms: End of the exported period, in milliseconds since 1970.
        prefixes: Their prefixes in `aws_bucket`.
    """

    model_config = ConfigDict(frozen=True)

    until_ms: int
    prefixes: tuple[str, ...]


def ensure_log_groups(run: Run) -> None:
    """Create the log groups of jobs and instances, with a retention of 60 days."""
    for group in (run.names.log_group, run.names.instance_log_group):
        try:
            run.aws.logs.create_log_group(logGroupName=group, tags=run.tags)
        except ClientError as error:
            if error_code(error) != "ResourceAlreadyExistsException":
                raise
        run.aws.logs.put_retention_policy(logGroupName=group, retentionInDays=RETENTION_DAYS)


def export_logs(run: Run, wait_seconds: float = EXPORT_SECONDS) -> tuple[str, ...]:
    """Export both log groups to `exportedlogs/` in `aws_bucket`, and wait for the end.

    CloudWatch Logs runs one export at a time in an account, and needs write access by a bucket
    policy (CloudWatch Logs User Guide, "Export log data to Amazon S3"). Logs that were exported
    after the end of the run are not exported again.

    Args:
        run: The run; does nothing without a record.
        wait_seconds: Time limit, including the wait for other exports of the account.

    Returns:
        The prefixes of the exported logs.

    Raises:
        DcpError: The export failed or took too long; the text says how to repeat it.
        ClientError: AWS refused it.
    """
    run_record = record.load(run)
    earlier = _exported(run)
    if run_record is None:
        return ()
    ended_at = run_record.ended_at
    if earlier and ended_at and earlier.until_ms >= ended_at.timestamp() * 1000:
        return earlier.prefixes
    give_up = time.monotonic() + wait_seconds
    until, prefixes = int(time.time() * 1000), []
    for group in (run.names.log_group, run.names.instance_log_group):
        prefix = f"exportedlogs/{group}"
        task = _start(run, group, prefix, (run_record.started_ms, until), give_up)
        if task:
            _wait_for(run, group, task, give_up)
            prefixes.append(prefix)
    export = Export(until_ms=until, prefixes=tuple(prefixes))
    record.put(run, record.LOGS, export.model_dump_json())
    return export.prefixes


def _exported(run: Run) -> Export | None:
    text = record.read(run, record.LOGS)
    return Export.model_validate_json(text) if text else None


def _start(run: Run, group: str, prefix: str, span: tuple[int, int], give_up: float) -> str | None:
    """Start an export once no other runs; returns its id, or None if the group does not exist."""

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

    late = f"Could not export log group {group}: other exports of the account are running"
    task_id: str | None = _poll(create, (BUSY,), give_up, late)
    return task_id


def _wait_for(run: Run, group: str, task: str, give_up: float) -> None:
    def status() -> str:
        tasks = run.aws.logs.describe_export_tasks(taskId=task)["exportTasks"]
        return tasks[0]["status"]["code"] if tasks else "UNKNOWN"

    late = f"The export of log group {group} (task {task}) is still running in AWS"
    code: str = _poll(status, UNFINISHED, give_up, late)
    if code != "COMPLETED":
        raise DcpError(f"The export of log group {group} (task {task}) ended with status {code}")


def _poll(call: Callable[[], Any], while_: tuple[str, ...], give_up: float, late: str) -> Any:
    try:
        return Retrying(
            retry=retry_if_result(lambda status: status in while_),
            wait=wait_fixed(POLL_SECONDS),
            stop=stop_after_delay(max(give_up - time.monotonic(), 0)),
        )(call)
    except RetryError as error:
        raise DcpError(
            f"{late}, and the time limit is reached. The logs stay in CloudWatch for "
            f"{RETENTION_DAYS} days; to export them, repeat the clean-up."
        ) from error
