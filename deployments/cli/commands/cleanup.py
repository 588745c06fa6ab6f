"""`dcp cleanup APP`: end everything that an app has in AWS, from nothing but its name."""

import sys
from typing import TYPE_CHECKING

from deployments.cli.commands.options import AppName, RunOptions
from deployments.exit_status import ExitStatus

if TYPE_CHECKING:
    from tasks.runs.run import Run

NOTE = "ended with dcp cleanup"


def cleanup(
    app: AppName,
    /,
    *,
    which: RunOptions = RunOptions(),
    abandon: bool = False,
    yes: bool = False,
) -> int:
    """Stop an app's run and delete its resources in AWS.

    Stop an app's newest run and delete its resources in AWS. Results, report, record, dead-letter
    queue and logs are kept. Only needs AWS credentials; resources with the app's tag are deleted
    even if the record is gone. Safe to repeat.

    Exit status: 0 all resources are deleted, 1 a step failed or a queue with jobs is kept, 2 the
    app has no resources in AWS, a flow monitors the run, or AWS refuses.

    Args:
        abandon: give up the jobs that have no result, and delete the queue
        yes: proceed even if a flow is still monitoring the run
    """
    from tasks.account_runs.discovery import find_app

    run, recorded = find_app(app, *which.of_app(app), which.bucket, which.run)
    if recorded and not yes and (by := _watcher(run)):
        print(
            f"app {app}: flow run {by} is monitoring run {run.run_id}. Cancel it in Prefect: it "
            "cleans up by itself. Use --yes to clean up anyway.",
            file=sys.stderr,
        )
        return ExitStatus.BAD_INPUT
    return _end(run, recorded, abandon)


def _watcher(run: "Run") -> str:
    from tasks.runs import heartbeat

    found = heartbeat.newest(run)
    return found.beat.by if found is not None and found.alive else ""


def _end(run: "Run", recorded: bool, abandon: bool) -> int:
    from tasks.lifecycle.cleanup import clean_up
    from tasks.lifecycle.leftovers import what_stays
    from tasks.report.remedies import how_to_continue
    from tasks.runs import record

    kept = record.load(run) if recorded else None
    print(f"app {run.names.app}, run {run.run_id or 'not known'}, {run.config.aws_region}")
    outcome = clean_up(run, abandon, NOTE if abandon else "", recorded)
    for line in outcome.done:
        print(f"  {line}")
    if recorded:
        if kept is not None and kept.state != "ended":
            _report(run)
        print(what_stays(run))
    if outcome.kept:
        print(
            f"{outcome.kept}. It costs nothing by the hour. "
            + (f"{how_to_continue(run)} " if recorded else "")
            + f"Or give up its jobs: dcp cleanup {run.names.app} --abandon",
            file=sys.stderr,
        )
    for failure in outcome.failures:
        print(f"could not clean up {failure}", file=sys.stderr)
    if outcome.failures:
        print(f"Fix this, then run `dcp cleanup {run.names.app}` again.", file=sys.stderr)
    return ExitStatus.PROBLEM if outcome.failures or outcome.kept else ExitStatus.OK


def _report(run: "Run") -> None:
    """Write the report and export the logs; that either fails leaves nothing running."""
    from blocks.errors import DcpError
    from tasks.aws.errors import AwsError
    from tasks.report.build import draw_up
    from tasks.resources.log_groups import export_logs
    from tasks.runs import record

    try:
        report, _ = draw_up(run, NOTE)
        print(f"{report.summary}: s3://{run.config.aws_bucket}/{run.key(record.REPORT)}")
        print("exporting the logs ...")
        print("logs in " + (", ".join(export_logs(run)) or "no place: no log was found"))
    except (*AwsError, DcpError) as error:
        print(f"Could not write the report or export the logs: {error}", file=sys.stderr)
