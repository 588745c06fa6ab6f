"""Failures: every job that did not succeed, by reason, with its log; nothing is changed."""

from textwrap import shorten
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.errors import InputError
from flows.logger import log
from tasks import record
from tasks.aws import AwsError
from tasks.failures import Failures, find_failures
from tasks.opening import open_existing
from tasks.run import Run
from tasks.telling import artifact_key, prefect_may_be_away

SHOWN, LONGEST_TEXT = 1000, 500  # rows of the artifact, characters of a text; the CSV has all


@flow(name="dcp-failures")
def failures(
    config: str,
    run_id: str | None = None,
    credentials: str | None = None,
    settings: dict[str, Any] | None = None,
) -> State[Any]:
    """Tell every failed, dead-lettered or lost job of a run, and where its log is.

    A table artifact shows them, the most frequent reason first; `failures.csv` in the run's record
    has them all.

    Args:
        config: Run config: block name, local path or s3:// path.
        run_id: Run to look at; left out, the app's newest.
        credentials: AwsCredentials block to use in place of the config's own.
        settings: Keys of the run config that take the place of the config's own.
    """
    try:
        run = open_existing(config, run_id, credentials, settings)
    except InputError as error:
        return Failed(message=str(error), data=error)
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
        # They are told in Prefect all the same.
        return f"failures.csv could not be written: {error}"
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
