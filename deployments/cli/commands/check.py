"""`dcp check`: reports errors of a run before anything is created."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from deployments.cli.commands.options import Config, Fleet, Job, Plates
from deployments.exit_status import ExitStatus

if TYPE_CHECKING:
    from tasks.preflight.finding import Finding


def check(
    *,
    config: Config,
    job: Job,
    fleet: Fleet = None,
    plates: Plates = (),
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Check a run without creating anything.

    Check config, job file, pipeline, CSVs, images, machines, quotas, permissions and cost of a run.
    Nothing is created or changed.

    Exit status: 0 no errors, 1 errors, 2 a file cannot be read or AWS refuses the credentials.

    Args:
        as_json: print the findings as JSON
    """
    from rich.console import Console

    from tasks.preflight.finding import errors, summary, table

    findings = _findings(config, job, fleet, plates)
    if as_json:
        print(json.dumps([_as_json(finding) for finding in findings], indent=1))
    else:
        console = Console()
        if findings:
            console.print(table(findings))
        console.print(summary(findings))
    return ExitStatus.PROBLEM if errors(findings) else ExitStatus.OK


def _findings(config: str, job: str, fleet: str | None, plates: tuple[str, ...]) -> "list[Finding]":
    from blocks.loading.load import load_fleet, load_job
    from tasks.jobs.load_data_csv import Csvs
    from tasks.preflight.run_checks import preflight
    from tasks.runs.open_run import open_new

    run = open_new(config, "")
    template = load_fleet(fleet, run.config.credentials)
    sets = load_job(job, run.config.credentials).sets(plates, job)
    with Csvs(run) as csvs:
        return preflight(run, sets, job, csvs, template)


def _as_json(finding: "Finding") -> dict[str, str]:
    return {"level": finding.level, "code": finding.code, **asdict(finding.problem)}
