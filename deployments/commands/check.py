"""`dcp check`: what would be in the way of a run, found without making anything."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.findings import Finding

SOUND, ERRORS, UNREADABLE = 0, 1, 2


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `dcp check`."""
    check = commands.add_parser(
        "check",
        help="look at everything a run needs, and make nothing",
        description="Look at config, job file, pipeline, CSVs, images, machines, quotas, rights "
        "and cost of a run; nothing is made and nothing changed. Exit status: 0 no error, 1 errors "
        "were found, 2 a file cannot be read or AWS refuses the credentials.",
    )
    check.set_defaults(call=_check)
    check.add_argument(
        "--config", required=True, metavar="SOURCE", help="run config: file, s3:// or block"
    )
    check.add_argument(
        "--job", required=True, metavar="SOURCE", help="job file: file, s3:// or block"
    )
    check.add_argument("--fleet", metavar="SOURCE", help="fleet template, or a DCP fleet file")
    check.add_argument(
        "--plates", nargs="+", metavar="PLATE", help="plates in place of the job file's own"
    )
    check.add_argument("--json", action="store_true", help="write the findings as JSON")


def _check(given: argparse.Namespace) -> int:
    from rich.console import Console

    from blocks.errors import InputError
    from tasks.findings import errors, summary, table

    try:
        findings = _look(given)
    except InputError as error:
        print(error, file=sys.stderr)
        return UNREADABLE
    if given.json:
        print(json.dumps([_as_json(finding) for finding in findings], indent=1))
    else:
        console = Console()
        if findings:
            console.print(table(findings))
        console.print(summary(findings))
    return ERRORS if errors(findings) else SOUND


def _look(given: argparse.Namespace) -> "list[Finding]":
    from blocks.reading import load_fleet, load_job
    from tasks.load_data import Csvs
    from tasks.opening import open_new
    from tasks.preflight import preflight

    run = open_new(given.config, "")
    template = load_fleet(given.fleet, run.config.credentials)
    sets = load_job(given.job, run.config.credentials).sets(given.plates or (), given.job)
    with Csvs(run) as csvs:
        return preflight(run, sets, given.job, csvs, template)


def _as_json(finding: "Finding") -> dict[str, str]:
    return {"level": finding.level, "code": finding.code, **asdict(finding.problem)}
