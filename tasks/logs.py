"""The log groups of an app: made with a limit on how long they are kept, exported at the end."""

import time

from botocore.exceptions import ClientError
from tenacity import (
    RetryError,
    Retrying,
    retry,
    retry_if_exception,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from blocks.errors import DcpError
from tasks.aws import aws_task, error_code
from tasks.run import Run

RETENTION_DAYS = 60
EXPORT_SECONDS = 600


@aws_task("log groups")
def ensure_log_groups(run: Run) -> None:
    """Make the log groups of the jobs and of the instances, each kept for 60 days."""
    for group in (run.names.log_group, run.names.instance_log_group):
        try:
            run.aws.logs.create_log_group(logGroupName=group, tags=run.tags)
        except ClientError as error:
            if error_code(error) != "ResourceAlreadyExistsException":
                raise
        run.aws.logs.put_retention_policy(logGroupName=group, retentionInDays=RETENTION_DAYS)


def export_logs(run: Run, started_ms: int) -> list[str]:
    """Export both log groups to `aws_bucket` below `exportedlogs/`, and wait for it.

    CloudWatch Logs runs one export at a time in an account, and needs a bucket policy that lets
    it write (CloudWatch Logs User Guide, "Export log data to Amazon S3").

    Args:
        run: The run.
        started_ms: From when on, in milliseconds since 1970.

    Returns:
        The prefixes written to.

    Raises:
        DcpError: The export ended otherwise than completed, or not within 10 minutes.
        ClientError: AWS refused it.
    """
    written = []
    for group in (run.names.log_group, run.names.instance_log_group):
        prefix = f"exportedlogs/{group}"
        status = _ended(run, _export(run, group, prefix, started_ms))
        if status != "COMPLETED":
            raise DcpError(f"the export of log group {group} ended as {status}")
        written.append(prefix)
    return written


# Another export of the account may be running.
@retry(
    retry=retry_if_exception(lambda error: error_code(error) == "LimitExceededException"),
    wait=wait_fixed(5),
    stop=stop_after_delay(EXPORT_SECONDS),
    reraise=True,
)
def _export(run: Run, group: str, prefix: str, started_ms: int) -> str:
    return run.aws.logs.create_export_task(
        taskName=f"{run.names.app}-{run.run_id}",
        logGroupName=group,
        fromTime=started_ms,
        to=int(time.time() * 1000),
        destination=run.config.aws_bucket,
        destinationPrefix=prefix,
    )["taskId"]


def _ended(run: Run, task_id: str) -> str:
    def status() -> str:
        tasks = run.aws.logs.describe_export_tasks(taskId=task_id)["exportTasks"]
        return tasks[0]["status"]["code"] if tasks else "UNKNOWN"

    try:
        return Retrying(
            retry=retry_if_result(lambda code: code in ("PENDING", "RUNNING", "PENDING_CANCEL")),
            wait=wait_fixed(2),
            stop=stop_after_delay(EXPORT_SECONDS),
        )(status)
    except RetryError as error:
        raise DcpError(
            f"the export of the logs (task {task_id}) did not end within {EXPORT_SECONDS} seconds"
        ) from error
