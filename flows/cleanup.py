"""Clean-up: everything that a run has in AWS goes; its results, record and logs stay."""

from typing import Any

from prefect import flow

from blocks.errors import DcpError
from flows.logger import log
from tasks.cleanup import clean_up_task
from tasks.opening import open_existing
from tasks.report import Report, write_report


@flow(name="dcp-cleanup")
def cleanup(
    config: str,
    run_id: str | None = None,
    abandon: bool = False,
    note: str = "",
    credentials: str | None = None,
    settings: dict[str, Any] | None = None,
) -> Report:
    """End everything that a run has in AWS, and draw up its report. Can be repeated.

    Args:
        config: Run config: block name, local path or s3:// path.
        run_id: Run to end; left out, the app's newest.
        abandon: Delete the queue even when jobs in it have no result.
        note: Why the run ends before its jobs do.
        credentials: AwsCredentials block to use in place of the config's own.
        settings: Keys of the run config that take the place of the config's own.

    Returns:
        The report of the run.

    Raises:
        DcpError: Something could not be ended; each is named.
    """
    run = open_existing(config, run_id, credentials, settings)
    # First what costs money; then what is said about it.
    outcome = clean_up_task(run, abandon, note)
    for line in (*outcome.done, *outcome.warnings, *outcome.failures):
        log(line)
    report = write_report(run, note)
    if outcome.failures:
        raise DcpError("the clean-up is not complete:\n" + "\n".join(outcome.failures))
    log(report.summary)
    return report
