"""Clean-up: everything that a run has in AWS goes; its results, record and logs stay."""

from collections.abc import Iterable
from typing import Any

from prefect import flow

from blocks import AwsCredentials
from blocks.credentials import region_of
from blocks.errors import DcpError, InputError, Problem
from blocks.sources import load_block
from flows.logger import log
from tasks import interrupt
from tasks.aws import AwsError, aws_task
from tasks.cleanup import Outcome, clean_up
from tasks.leftovers import what_stays
from tasks.logs import EXPORT_SECONDS, export_logs
from tasks.opening import open_existing
from tasks.remedies import how_to_continue
from tasks.report import Report
from tasks.report_delivery import write_report
from tasks.run import Run
from tasks.runs import find_app

BROKEN_OFF_SECONDS = 60  # who has just cancelled a run does not wait long for its logs


@flow(name="dcp-cleanup")
def cleanup(
    config: str | None = None,
    run_id: str | None = None,
    abandon: bool = False,
    note: str = "",
    credentials: str | None = None,
    settings: dict[str, Any] | None = None,
    app: str | None = None,
    region: str | None = None,
    bucket: str | None = None,
) -> Report | None:
    """End everything that a run has in AWS, and draw up its report. Can be repeated.

    Args:
        config: Run config: block name, local path or s3:// path; needed unless `app` is given.
        run_id: Run to end; left out, the app's newest.
        abandon: Delete the queue even when jobs in it have no result.
        note: Why the run ends before its jobs do.
        credentials: AwsCredentials block to use in place of the config's own.
        settings: Keys of the run config that take the place of the config's own.
        app: Name of the app, from which the run is found without a config.
        region: Region of the app, where neither its record nor the credentials tell.
        bucket: Bucket of the app's record; left out, all are looked into.

    Returns:
        The report of the run; None of one without a record.

    Raises:
        InputError: There is no such run.
        DcpError: Something could not be ended; each is named.
    """
    if config is not None:
        run, recorded = open_existing(config, run_id, credentials, settings), True
    elif app is not None:
        who = load_block(AwsCredentials, credentials) if credentials else AwsCredentials()
        where = region or region_of(who)
        run, recorded = find_app(app, who, where, bucket, run_id)
    else:
        raise InputError(Problem("dcp-cleanup", "config", "neither config nor app is given"))
    outcome = aws_task("clean up")(clean_up)(run, abandon, note, recorded)
    if recorded:
        return _told(run, outcome, note, EXPORT_SECONDS)
    for line in (*outcome.done, *outcome.failures):
        log(line)
    _raise(outcome.failures + ((outcome.kept,) if outcome.kept else ()))
    return None


def end(run: Run, abandon: bool, note: str) -> Report:
    """End a run that was broken off, also when there is no flow run or Prefect is out of reach.

    Args:
        run: The run, which has a record.
        abandon: Delete the queue even when jobs in it have no result.
        note: Why the run ends before its jobs do.

    Raises:
        DcpError: Something could not be ended; each is named.
    """
    with interrupt.held("The clean-up goes on, so that no machine is left."):
        return _told(run, clean_up(run, abandon, note), note, BROKEN_OFF_SECONDS)


def _told(run: Run, outcome: Outcome, note: str, export_seconds: float) -> Report:
    """Say what a clean-up did, and write the report; the logs come last, and nothing waits."""
    for line in (*outcome.done, *outcome.failures):
        log(line)
    report = write_report(run, note)
    log(f"{report.summary}; {what_stays(run)}")
    _export(run, export_seconds)
    # That a queue with jobs is kept is meant when the run stops for a reason, else an obstacle.
    kept = f"{outcome.kept}. {how_to_continue(run)} Or clean up with abandon=true to give them up."
    _raise((*outcome.failures, kept) if outcome.kept and not note else outcome.failures)
    return report


def _raise(problems: Iterable[str]) -> None:
    if told := "\n".join(problems):
        raise DcpError(f"the clean-up is not complete:\n{told}")


def _export(run: Run, seconds: float) -> None:
    try:
        prefixes = export_logs(run, seconds)
        log("logs exported to " + (", ".join(prefixes) or "nowhere: there are none"))
    except (*AwsError, DcpError) as error:
        # They stay in CloudWatch; nothing runs and nothing is lost.
        log(f"logs not exported: {error}")
