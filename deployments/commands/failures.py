"""`dcp failures APP`: every job that did not succeed, from nothing but the app's name."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tasks.failures import Failures, Reason
    from tasks.run import Run

NONE, SOME, BAD_INPUT = 0, 1, 2
SHOWN = 10  # jobs of each reason


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `dcp failures`."""
    failures = commands.add_parser(
        "failures",
        help="every job of a run that did not succeed, by reason",
        description="Tell every failed, dead-lettered or lost job of an app's newest run, by "
        "reason, with what to do and where the log is. Changes nothing; needs nothing but "
        "credentials. Exit status: 0 there is none, 1 there are some, 2 the run "
        "is not found or AWS refuses.",
    )
    failures.set_defaults(call=_failures)
    add_run_options(failures)
    failures.add_argument(
        "--csv", type=Path, metavar="FILE", help="write all of them there, a row a job"
    )
    failures.add_argument("--all", action="store_true", help=f"show more than {SHOWN} a reason")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add how a run is found by its app's name."""
    parser.add_argument("app", metavar="APP", help="name of the app (app_name)")
    parser.add_argument("--run", metavar="RUN_ID", help="left out, the app's newest run")
    parser.add_argument(
        "--bucket", help="bucket of the app's record (aws_bucket); left out, all are looked into"
    )
    parser.add_argument("--region", help="left out, the profile's, else us-east-1")
    parser.add_argument("--profile", help="profile of the AWS configuration files")


def region_of(given: argparse.Namespace) -> str:
    """Where to look: as given, else the profile's region, else us-east-1."""
    import boto3

    own = boto3.session.Session(profile_name=given.profile).region_name
    return given.region or own or "us-east-1"


def find_run(given: argparse.Namespace) -> "Run":
    """The run that was asked for.

    Raises:
        InputError: It is not found, or AWS refuses the credentials.
    """
    from botocore.exceptions import BotoCoreError
    from prefect_aws import AwsCredentials

    from blocks.errors import AwsRefused, Problem
    from tasks.locate import locate

    try:
        return locate(
            given.app,
            AwsCredentials(),
            region_of(given),
            given.bucket,
            given.run,
            profile=given.profile,
        )
    except BotoCoreError as error:
        raise AwsRefused(
            Problem(f"app {given.app}", "", f"cannot be looked for: {error}")
        ) from error


def _failures(given: argparse.Namespace) -> int:
    from rich.console import Console

    from blocks.errors import InputError
    from tasks.aws import AwsError
    from tasks.failures import find_failures

    try:
        run = find_run(given)
        found = find_failures(run)
        if given.csv:
            given.csv.write_text(found.csv(), encoding="utf-8", newline="")
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except AwsError as error:
        print(f"app {given.app}: its record cannot be read: {error}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(f"{given.csv}: {error.strerror or error}", file=sys.stderr)
        return BAD_INPUT
    show(found, Console(), SHOWN if not given.all else None)
    return SOME if found.reasons else NONE


def show(found: "Failures", console: "Console", most: int | None) -> None:
    """Tell the failures on a terminal, at most so many of each reason."""
    console.print(f"Run {found.run_id} of {found.app_name}: {found.summary}", highlight=False)
    for reason in found.reasons:
        console.print()
        title = f"{len(reason.jobs)} {reason.code}"
        console.print(title, style="bold", highlight=False, markup=False)
        console.print(reason.remedy, highlight=False, markup=False)
        console.print(_table(reason, most))
        if most is not None and len(reason.jobs) > most:
            console.print(f"and {len(reason.jobs) - most} more (--all, --csv FILE)")
        if first := next((row.log for row in reason.jobs if row.log), ""):
            console.print(f"log of the first: {first}", soft_wrap=True, highlight=False)


def _table(reason: "Reason", most: int | None) -> "Table":
    """The jobs of a reason; `log` is a link, where the terminal knows links."""
    from rich.table import Table
    from rich.text import Text

    names = ("plate", "well", "site", "tries", "what happened", "log")
    table = Table(*names, box=None, pad_edge=False, header_style="dim")
    for row in reason.jobs[:most]:
        # Of a job whose metadata names no plate and no well, the group says which it is.
        place = (row.plate or row.group, row.well, row.site, str(row.attempt or ""))
        log = Text("log", style=f"link {row.log}") if row.log else Text()
        table.add_row(*map(Text, place), Text(row.reason_text), log)
    return table
