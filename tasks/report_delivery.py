"""The report of a run, delivered: written to S3, shown in Prefect as a page, sent as an event."""

from prefect.artifacts import create_markdown_artifact

from tasks import record
from tasks.artifacts import artifact_key, prefect_may_be_away
from tasks.events import COMPLETED, FAILED, LONGEST_TEXT, emit
from tasks.log_links import links
from tasks.report import Report, draw_up
from tasks.report_page import markdown
from tasks.run import Run


def write_report(run: Run, note: str = "") -> Report:
    """Draw up the report, write it into the run's record, and show it in Prefect.

    Args:
        run: The run, which has a record.
        note: Why the run ended before its jobs did.
    """
    report, pictures = draw_up(run, note)
    address = f"s3://{run.config.aws_bucket}/{run.key(record.REPORT)}"
    with prefect_may_be_away():
        create_markdown_artifact(
            markdown(report, address, pictures, links(run)),
            key=artifact_key(run, "report"),
            description=report.summary,
        )
    _tell_end(run, report, address)
    return report


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
