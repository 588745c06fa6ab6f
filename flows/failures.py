"""Failures: lists every job that did not succeed, by reason, with its log. Read-only."""

from textwrap import shorten
from typing import Any

from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.lifecycle import name_after
from flows.support.dcp_flow import dcp_flow
from flows.support.parameters import Config, Credentials, RunId, Settings
from tasks.aws.errors import AwsError
from tasks.prefect_output.artifacts import artifact_key, prefect_may_be_away
from tasks.prefect_output.run_log import log
from tasks.report.failures import Failures, find_failures
from tasks.runs import record
from tasks.runs.open_run import open_existing
from tasks.runs.run import Run

SHOWN, LONGEST_TEXT = 1000, 500  # rows of the artifact, characters of a text; the CSV has all


@dcp_flow("dcp-failures")
def failures(
    config: Config,
    run_id: RunId = None,
    credentials: Credentials = None,
    settings: Settings = None,
) -> State[Any]:
    """List every failed, dead-lettered or lost job of a run, with a link to its log.

    A table artifact shows them, the most frequent reason first; `failures.csv` in the run's record
    lists all of them.
    """
    run = open_existing(config, run_id, credentials, settings)
    name_after(run, subject="failures")
    found = find_failures(run)
    for reason in found.reasons:
        log(f"{len(reason.jobs)} {reason.code}: {reason.remedy}")
    with prefect_may_be_away():
        create_table_artifact(
            rows(found), key=artifact_key(run, "failures"), description=found.summary
        )
    return Completed(message=f"{found.summary}. {_written(run, found)}")


def _written(run: Run, found: Failures) -> str:
    try:
        address = record.put(run, "failures.csv", found.csv(), "text/csv; charset=utf-8")
    except AwsError as error:
        # Prefect still shows them.
        return f"Could not write failures.csv: {error}"
    return f"All of them: {address}"


def rows(found: Failures) -> list[dict[str, Any]]:
    """The failed jobs as the rows of a table."""
    return [
        {
            "reason": row.reason,
            "plate": row.plate,
            "well": row.well,
            "site": row.site,
            "status": row.status,
            "what happened": shorten(row.reason_text, LONGEST_TEXT, placeholder=" …"),
            "attempts": row.attempt,
            "log": f"[log]({row.log})" if row.log else "",
            "group": row.group,
        }
        for row in found.jobs[:SHOWN]
    ]
