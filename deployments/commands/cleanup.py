"""`dcp cleanup APP`: end everything that an app has in AWS, from nothing but its name."""

import argparse
import sys
from typing import TYPE_CHECKING

from deployments.commands.failures import add_run_options, region_of

if TYPE_CHECKING:
    from tasks.run import Run

ENDED, LEFT, BAD_INPUT = 0, 1, 2
NOTE = "ended with dcp cleanup"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `dcp cleanup`."""
    cleanup = commands.add_parser(
        "cleanup",
        help="end everything that an app has in AWS",
        description="End everything that an app's newest run has in AWS; results, report, record, "
        "dead-letter queue and logs stay. Needs nothing but credentials; what carries the app's "
        "tag is ended also when its record is gone. Can be repeated. Exit status: 0 nothing is "
        "left running, 1 something is left, 2 nothing of the app is found, a flow watches the "
        "run, or AWS refuses.",
    )
    cleanup.set_defaults(call=_cleanup)
    add_run_options(cleanup)
    cleanup.add_argument(
        "--abandon", action="store_true", help="give up jobs that have no result, with the queue"
    )
    cleanup.add_argument(
        "--yes", action="store_true", help="also when a flow watches the run and would end it"
    )


def _cleanup(given: argparse.Namespace) -> int:
    from botocore.exceptions import BotoCoreError
    from prefect_aws import AwsCredentials

    from blocks.errors import InputError
    from tasks.aws import AwsError
    from tasks.runs import find_app

    try:
        run, recorded = find_app(
            given.app, AwsCredentials(), region_of(given), given.bucket, given.run, given.profile
        )
        if recorded and not given.yes and (by := _watcher(run)):
            print(
                f"app {given.app}: flow run {by} watches run {run.run_id}. Cancel it in Prefect: "
                "it cleans up by itself. With --yes the run is ended all the same.",
                file=sys.stderr,
            )
            return BAD_INPUT
        return _end(run, recorded, given.abandon)
    except InputError as error:
        print(error, file=sys.stderr)
    except (*AwsError, BotoCoreError) as error:
        print(f"app {given.app}: AWS refuses: {error}", file=sys.stderr)
    return BAD_INPUT


def _watcher(run: "Run") -> str:
    from tasks import watch

    found = watch.newest(run)
    return found.beat.by if found is not None and found.alive else ""


def _end(run: "Run", recorded: bool, abandon: bool) -> int:
    from tasks import record
    from tasks.cleanup import clean_up
    from tasks.leftovers import what_stays
    from tasks.remedies import how_to_continue

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
            f"{outcome.kept}. Nothing of it costs by the hour. "
            + (f"{how_to_continue(run)} " if recorded else "")
            + f"Or give its jobs up: dcp cleanup {run.names.app} --abandon",
            file=sys.stderr,
        )
    for failure in outcome.failures:
        print(f"not ended: {failure}", file=sys.stderr)
    if outcome.failures:
        print(f"Mend that and repeat: dcp cleanup {run.names.app}", file=sys.stderr)
    return LEFT if outcome.failures or outcome.kept else ENDED


def _report(run: "Run") -> None:
    """Write the report and export the logs; that either fails leaves nothing running."""
    from blocks.errors import DcpError
    from tasks.aws import AwsError
    from tasks.logs import export_logs
    from tasks.report import draw_up

    try:
        report, _ = draw_up(run, NOTE)
        print(f"{report.summary}: s3://{run.config.aws_bucket}/{run.key('report.json')}")
        print("exporting the logs ...")
        print("logs in " + (", ".join(export_logs(run)) or "no place: there are none"))
    except (*AwsError, DcpError) as error:
        print(f"not told or not exported: {error}", file=sys.stderr)
