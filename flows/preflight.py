"""Preflight: everything that can be known before a run is looked at, and nothing is made."""

import logging
from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks import FleetTemplate
from blocks.errors import InputError
from blocks.job_sets import JobSet
from blocks.reading import load_fleet
from tasks.aws import aws_task
from tasks.findings import LEVELS, Finding, errors, rows, summary
from tasks.load_data import Csvs
from tasks.opening import open_job_file, open_new
from tasks.preflight import preflight as check
from tasks.run import Run
from tasks.telling import artifact_key, prefect_may_be_away

LOG_LEVELS = {"warning": logging.WARNING, "note": logging.INFO}
MOST_LINES = 100  # of findings in the log; the artifact has all


@flow(name="dcp-preflight")
def preflight(
    config: str,
    job: str,
    fleet: str | None = None,
    credentials: str | None = None,
    plates: list[str] | None = None,
    settings: dict[str, Any] | None = None,
) -> State[Any]:
    """Look at everything that a run needs, and make nothing.

    Args:
        config: Run config: block name, local path or s3:// path.
        job: Job file: block name, local path or s3:// path.
        fleet: Fleet template or DCP fleet file: block name, local path or s3:// path; left out,
            the account's default network.
        credentials: AwsCredentials block to use in place of the config's own.
        plates: Plates to look at in place of the job file's own.
        settings: Keys of the run config that take the place of the config's own.

    Returns:
        Completed when nothing is in the way of a run, else Failed with the errors.
    """
    try:
        run = open_new(config, "", credentials, settings)
        template = load_fleet(fleet, run.config.credentials)
        sets = open_job_file(job, run.config.credentials).sets(plates or (), job)
        with Csvs(run) as csvs:
            findings = look(run, sets, job, csvs, template)
    except InputError as error:
        # As a state, not raised: Prefect would log a traceback above what the reader needs.
        return Failed(message=str(error), data=error)
    if stopping := errors(findings):
        in_the_way = InputError(*stopping)
        return Failed(message=f"{summary(findings)}\n{in_the_way}", data=in_the_way)
    return Completed(message=summary(findings))


def look(
    run: Run, sets: Sequence[JobSet], where: str, csvs: Csvs, template: FleetTemplate
) -> list[Finding]:
    """Look at what a run needs and show what was found, in the log and as artifacts.

    Raises:
        InputError: AWS does not know the credentials.
    """
    findings = aws_task("preflight")(check)(run, sets, where, csvs, template)
    # Errors are not said here: they end the run, and are what its last line says.
    said = [finding for finding in findings if finding.level in LOG_LEVELS]
    for finding in said[:MOST_LINES]:
        get_run_logger().log(LOG_LEVELS[finding.level], str(finding))
    if len(said) > MOST_LINES:
        get_run_logger().warning("... and %d more", len(said) - MOST_LINES)
    with prefect_may_be_away():
        create_table_artifact(
            rows(findings), key=artifact_key(run, "findings"), description=summary(findings)
        )
        create_markdown_artifact(
            markdown(findings, where), key=artifact_key(run, "preflight"), description=where
        )
    return findings


def markdown(findings: Sequence[Finding], where: str) -> str:
    """The findings as a person reads them."""
    lines = [f"# Preflight of {where}", "", summary(findings), ""]
    for level in LEVELS:
        found = [finding for finding in findings if finding.level == level]
        if found:
            lines += [f"## {level.capitalize()}s", ""]
            lines += [f"- {finding.problem} `{finding.code}`" for finding in found]
            lines.append("")
    return "\n".join(lines)
