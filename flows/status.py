"""Status: lists all runs of the account, their resources, and which of these are orphaned."""

from datetime import UTC, datetime
from typing import Annotated, Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from blocks.credentials.sessions import region_of
from blocks.errors import InputError
from blocks.loading.load import load_credentials
from blocks.plurals import plural
from flows.support.dcp_flow import dcp_flow
from flows.support.parameters import Credentials, Regions
from tasks.account_runs.discovery import find_runs
from tasks.account_runs.overview import orphans_of, row_of, summary_of
from tasks.aws.errors import AwsError
from tasks.prefect_output.artifacts import prefect_may_be_away
from tasks.prefect_output.run_log import log


@dcp_flow("dcp-status")
def status(
    credentials: Credentials = None,
    regions: Regions = None,
    buckets: Annotated[
        list[str] | None,
        Field(description="Buckets with records (default: search every bucket of the account)."),
    ] = None,
) -> State[Any]:
    """List all runs of the account and any orphaned resources. Changes nothing.

    Returns:
        Completed, with the counts by state; Failed if AWS refuses the credentials.
    """
    who = load_credentials(credentials)
    try:
        runs = find_runs(who, regions or [region_of(who)], buckets)
    except (InputError, *AwsError) as error:
        return Failed(message=f"Could not list runs: {error}", data=error)
    now = datetime.now(UTC)
    for run in runs:
        log(", ".join(f"{name} {value}" for name, value in row_of(run, now).items() if value))
    orphans = orphans_of(runs)
    with prefect_may_be_away():
        create_table_artifact(
            [row_of(run, now) for run in runs], key="dcp-status", description=summary_of(runs)
        )
        create_markdown_artifact(
            "\n".join(f"- {one}" for one in orphans) or "Nothing is orphaned.",
            key="dcp-orphans",
            description=f"{plural(len(orphans), 'orphaned resource')}",
        )
    return Completed(message=summary_of(runs))
