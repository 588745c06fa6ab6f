"""The report of a run, delivered: written to S3, shown in Prefect as a page, sent as an event."""

from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate

from tasks.prefect_output.artifacts import artifact_key, prefect_may_be_away
from tasks.prefect_output.events import COMPLETED, FAILED, LONGEST_TEXT, emit
from tasks.report.build import draw_up
from tasks.report.markdown import markdown
from tasks.report.model import Report
from tasks.resources.console_links import links
from tasks.runs import record
from tasks.runs.run import Run


def write_report(run: Run, note: str = "", flow_run_id: UUID | None = None) -> Report:
    """Draw up the report, write it into the run's record, and show it in Prefect.

    Args:
        run: The run, which has a record.
        note: Why the run ended before its jobs did.
        flow_run_id: The flow run that shows the report (default: the one that this is called in).
    """
    report, pictures = draw_up(run, note)
    address = f"s3://{run.config.aws_bucket}/{run.key(record.REPORT)}"
    with prefect_may_be_away():
        _show(run, markdown(report, address, pictures, links(run)), report.summary, flow_run_id)
    _tell_end(run, report, address)
    return report


def _show(run: Run, page: str, summary: str, flow_run_id: UUID | None) -> None:
    key = artifact_key(run, "report")
    if flow_run_id is None:
        create_markdown_artifact(page, key=key, description=summary)
        return
    # Outside of a flow run, as in its hooks, Prefect's own function would attach it to none.
    with get_client(sync_client=True) as client:
        client.create_artifact(
            ArtifactCreate(
                type="markdown", key=key, description=summary, data=page, flow_run_id=flow_run_id
            )
        )


def _tell_end(run: Run, report: Report, address: str) -> None:
    cost = report.cost or {}
    said = [f"{report.app_name} {report.run_id}: {report.summary}", report.note, cost.get("text")]
    emit(
        run,
        COMPLETED if report.complete else FAILED,
        "; ".join(one for one in said if one),
        jobs={
            name: getattr(report, name)
            for name in ("submitted", "succeeded", "skipped", "failed", "lost")
        },
        reasons=report.reasons,
        note=report.note[:LONGEST_TEXT],
        hours=report.hours,
        usd=cost.get("usd"),
        report=address,
    )
