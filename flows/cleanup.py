"""Clean-up: deletes the resources of a run in AWS; keeps its results, record and logs."""

from typing import Annotated

from pydantic import Field

from blocks.credentials.sessions import region_of
from blocks.errors import InputError, Problem
from blocks.loading.load import load_credentials
from flows.lifecycle import name_after
from flows.support.dcp_flow import dcp_flow
from flows.support.parameters import Credentials, RunId, Settings
from tasks import steps
from tasks.account_runs.discovery import find_app
from tasks.report.model import Report
from tasks.runs.open_run import open_existing


@dcp_flow("dcp-cleanup")
def cleanup(
    config: Annotated[
        str | None,
        Field(
            description="Run config: block name, local path or s3:// path; required unless `app` "
            "is given."
        ),
    ] = None,
    run_id: RunId = None,
    abandon: Annotated[
        bool, Field(description="Delete the queue even when jobs in it have no result.")
    ] = False,
    note: Annotated[str, Field(description="Why the run ends before its jobs do.")] = "",
    credentials: Credentials = None,
    settings: Settings = None,
    app: Annotated[
        str | None,
        Field(description="Name of the app, from which the run is found without a config."),
    ] = None,
    region: Annotated[
        str | None,
        Field(
            description="Region of the app (default: from its record, else from the credentials)."
        ),
    ] = None,
    bucket: Annotated[
        str | None,
        Field(description="Bucket with the app's record (default: search all buckets)."),
    ] = None,
) -> Report | None:
    """Delete the resources of a run in AWS, and write its report. Safe to repeat.

    Returns:
        The report of the run; None for an app without a record.
    """
    if config is not None:
        run, recorded = open_existing(config, run_id, credentials, settings), True
    elif app is not None:
        who = load_credentials(credentials)
        run, recorded = find_app(app, who, region or region_of(who), bucket, run_id)
    else:
        raise InputError(Problem("dcp-cleanup", "config", "neither config nor app is given"))
    name_after(run, subject="clean-up")
    if recorded:
        return steps.clean_up(run, abandon, note)
    steps.clean_up_unrecorded(run, abandon, note)
    return None
