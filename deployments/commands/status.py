"""`dcp status [APP]`: all runs of the account, and what of them is orphaned."""

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from deployments.commands.failures import region_of

if TYPE_CHECKING:
    from rich.console import Console

    from tasks.runs import RunState

FINE, ORPHANED, BAD_INPUT = 0, 1, 2


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `dcp status`."""
    status = commands.add_parser(
        "status",
        help="all runs of the account, and what of them is orphaned",
        description="Tell the newest run of every app and whatever else runs: state, age, jobs, "
        "machines, cost, and what is left of runs that have ended or have no record. Changes "
        "nothing; needs nothing but credentials. Exit status: 0 nothing is orphaned, 1 something "
        "is, 2 AWS refuses.",
    )
    status.set_defaults(call=_status)
    status.add_argument("app", metavar="APP", nargs="?", help="only this app, with what it has")
    status.add_argument(
        "--region", help="where to look for what runs have; left out, the profile's, else us-east-1"
    )
    status.add_argument("--profile", help="profile of the AWS configuration files")
    status.add_argument(
        "--bucket",
        action="append",
        help="bucket with records (aws_bucket), may be repeated; left out, all are looked into",
    )
    status.add_argument("--json", action="store_true", help="as JSON, a list of runs")


def _status(given: argparse.Namespace) -> int:
    from botocore.exceptions import BotoCoreError
    from prefect_aws import AwsCredentials
    from rich.console import Console

    from blocks.errors import InputError
    from tasks.aws import AwsError
    from tasks.runs import find_runs
    from tasks.status import as_json

    try:
        runs = find_runs(
            AwsCredentials(), [region_of(given)], given.bucket, given.app, given.profile
        )
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except (*AwsError, BotoCoreError) as error:
        print(f"The runs cannot be looked for: {error}", file=sys.stderr)
        return BAD_INPUT
    now = datetime.now(UTC)
    if given.json:
        print(json.dumps([as_json(run, now) for run in runs], indent=1))
    else:
        show(runs, Console(), now, details=given.app is not None)
    return ORPHANED if any(run.orphans for run in runs) else FINE


def show(runs: "list[RunState]", console: "Console", now: datetime, details: bool) -> None:
    """Tell the runs on a terminal; with details, everything that they have."""
    from rich.table import Table
    from rich.text import Text

    from tasks.status import orphans_of, row_of, summary_of

    rows = [row_of(run, now) for run in runs]
    if rows:
        table = Table(*rows[0], box=None, pad_edge=False, header_style="dim")
        for row in rows:
            table.add_row(*map(Text, row.values()))
        console.print(table)
    console.print(summary_of(runs), highlight=False)
    for run in runs if details else ():
        for one in run.resources:
            console.print(f"{one} {one.state}".rstrip(), highlight=False, markup=False)
    for orphan in orphans_of(runs):
        console.print(f"orphaned: {orphan}", highlight=False, markup=False, soft_wrap=True)
