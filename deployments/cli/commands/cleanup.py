"""`dcp cleanup APP`: stops an app's run and deletes its resources, given only the app's name."""

import sys
from typing import TYPE_CHECKING

from deployments.cli.commands.options import AppName, RunOptions
from deployments.exit_status import ExitStatus

if TYPE_CHECKING:
    from tasks.runs.run import Run

NOTE = "stopped with dcp cleanup"


def cleanup(
    app: AppName,
    /,
    *,
    selection: RunOptions = RunOptions(),
    abandon: bool = False,
    yes: bool = False,
) -> int:
    """Stop an app's run and delete its resources in AWS.

    Stop an app's newest run and delete its resources in AWS. Results, report, record, dead-letter
    queue and logs are kept. Needs only AWS credentials; resources with the app's tag are deleted
    even if the record is missing. Safe to repeat.

    Exit status: 0 all resources are deleted, 1 a step failed or a queue with jobs is kept, 2 the
    app has no resources in AWS, a flow monitors the run, or AWS refuses the credentials.

    Args:
        abandon: abandon jobs without a result, and delete the queue
        yes: proceed even if a flow is still monitoring the run
    """
    from tasks.account_runs.discovery import find_app

    run, recorded = find_app(app, *selection.of_app(app), selection.bucket, selection.run)
    if recorded and not yes and (by := _watcher(run)):
        print(
            f"app {app}: flow run {by} is monitoring run {run.run_id}. Cancel the flow run in "
            "Prefect, and it cleans up by itself. To clean up anyway, use --yes.",
            file=sys.stderr,
        )
        return ExitStatus.BAD_INPUT
    return _end(run, recorded, abandon)


def _watcher(run: "Run") -> str:
    from tasks.runs import heartbeat

    newest = heartbeat.newest(run)
    return newest.beat.by if newest is not None and newest.alive else ""


def _end(run: "Run", recorded: bool, abandon: bool) -> int:
    from tasks.lifecycle.cleanup import clean_up
    from tasks.lifecycle.leftovers import what_stays
    from tasks.report.remedies import how_to_continue
    from tasks.runs import record

    loaded = record.load(run) if recorded else None
    print(f"app {run.names.app}, run {run.run_id or 'unknown'}, {run.config.aws_region}")
    outcome = clean_up(run, abandon, NOTE if abandon else "", recorded)
    for line in outcome.done:
        print(f"  {line}")
    if recorded:
        if loaded is not None and loaded.state != "ended":
            _report(run)
        print(what_stays(run))
    if outcome.kept:
        print(
            f"{outcome.kept}. It has no hourly cost. "
            + (f"{how_to_continue(run)} " if recorded else "")
            + f"To abandon its jobs: dcp cleanup {run.names.app} --abandon",
            file=sys.stderr,
        )
    for failure in outcome.failures:
        print(f"Could not clean up: {failure}", file=sys.stderr)
    if outcome.failures:
        print(f"Fix this, then run `dcp cleanup {run.names.app}` again.", file=sys.stderr)
    return ExitStatus.PROBLEM if outcome.failures or outcome.kept else ExitStatus.OK


def _report(run: "Run") -> None:
    """Write the report and export the logs; a failure is only printed, as nothing runs any more."""
    from blocks.errors import DcpError
    from tasks.aws.errors import AwsError
    from tasks.report.build import draw_up
    from tasks.resources.log_groups import export_logs
    from tasks.runs import record

    try:
        report, _ = draw_up(run, NOTE)
        print(f"{report.summary}: s3://{run.config.aws_bucket}/{run.key(record.REPORT)}")
        print("exporting the logs ...")
        places = export_logs(run)
        print(f"logs in {', '.join(places)}" if places else "No logs to export")
    except (*AwsError, DcpError) as error:
        print(f"Could not write the report or export the logs: {error}", file=sys.stderr)
