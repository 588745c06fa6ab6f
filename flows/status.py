"""Status: all runs of the account, what they have in AWS, and what of it is orphaned."""

from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks import AwsCredentials
from blocks.credentials import region_of
from blocks.errors import InputError
from blocks.sources import load_block
from flows.logger import log
from tasks.aws import AwsError
from tasks.runs import find_runs
from tasks.status import orphans_of, row_of, summary_of
from tasks.telling import prefect_may_be_away


@flow(name="dcp-status")
def status(
    credentials: str | None = None,
    regions: list[str] | None = None,
    buckets: list[str] | None = None,
) -> State[Any]:
    """Tell all runs of the account; nothing is changed.

    Args:
        credentials: AwsCredentials block; left out, what AWS tools find by themselves.
        regions: Regions to look into; left out, that of the credentials.
        buckets: Buckets whose records are looked at; left out, every bucket of the account.

    Returns:
        Completed, with what is orphaned; Failed when AWS refuses the credentials.
    """
    who = load_block(AwsCredentials, credentials) if credentials else AwsCredentials()
    try:
        runs = find_runs(who, regions or [region_of(who)], buckets)
    except (InputError, *AwsError) as error:
        return Failed(message=f"the runs cannot be looked for: {error}", data=error)
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
            description=f"{len(orphans)} orphaned",
        )
    return Completed(message=summary_of(runs))
