"""`dcp status [APP]`: shows all runs of the account and orphaned resources."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from deployments.cli.commands.options import AwsOptions
from deployments.exit_status import ExitStatus

if TYPE_CHECKING:
    from rich.console import Console

    from tasks.account_runs.discovery import RunState


def status(
    app: Annotated[str | None, Parameter(name="APP")] = None,
    /,
    *,
    where: AwsOptions = AwsOptions(),
    bucket: Annotated[tuple[str, ...], Parameter(metavar="BUCKET")] = (),
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Show all runs of the account and any orphaned resources.

    Show the newest run of every app and any other active run: state, age, jobs, machines, cost, and
    orphaned resources, whose run has ended or has no record. Changes nothing. Needs only AWS
    credentials.

    Exit status: 0 nothing is orphaned, 1 resources are orphaned, 2 AWS refuses the credentials.

    Args:
        app: show only this app, with all its resources
        bucket: bucket with run records; repeat the option for several (default: search all)
        as_json: print the runs as a JSON list
    """
    from rich.console import Console

    from tasks.account_runs.discovery import find_runs
    from tasks.account_runs.overview import as_json as json_of

    credentials, region = where.credentials_and_region(app, bucket)
    runs = find_runs(credentials, [region], bucket or None, app)
    now = datetime.now(UTC)
    if as_json:
        print(json.dumps([json_of(run, now) for run in runs], indent=1))
    else:
        show(runs, Console(), now, details=app is not None)
    return ExitStatus.PROBLEM if any(run.orphans for run in runs) else ExitStatus.OK


def show(runs: "list[RunState]", console: "Console", now: datetime, details: bool) -> None:
    """Print the runs; with details, all their resources."""
    from rich.table import Table
    from rich.text import Text

    from tasks.account_runs.overview import orphans_of, row_of, summary_of

    rows = [row_of(run, now) for run in runs]
    if rows:
        table = Table(*rows[0], box=None, pad_edge=False, header_style="dim")
        for row in rows:
            table.add_row(*map(Text, row.values()))
        console.print(table)
    console.print(summary_of(runs), highlight=False)
    for run in runs if details else ():
        for resource in run.resources:
            console.print(f"{resource} {resource.state}".rstrip(), highlight=False, markup=False)
    for orphan in orphans_of(runs):
        console.print(f"orphaned: {orphan}", highlight=False, markup=False, soft_wrap=True)
