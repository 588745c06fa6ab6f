"""The report of a run: drawn up, written to S3, shown in Prefect."""

import json

from prefect.artifacts import create_markdown_artifact

from tasks import record
from tasks.results import Report, account, make_report
from tasks.run import Run
from tasks.telling import artifact_key, prefect_may_be_away

SHOWN = 50  # problems in the Prefect artifact; all are in report.json


def markdown(report: Report, address: str) -> str:
    """The report as a person reads it."""
    lines = [f"# {report.app_name} {report.run_id}", "", report.summary, ""]
    if report.note:
        lines += [report.note, ""]
    if report.problems:
        lines += ["| job | status | reason | what happened |", "|---|---|---|---|"]
        for problem in report.problems[:SHOWN]:
            cells = (problem["Metadata"], problem["status"], problem["reason"])
            text = str(problem["reason_text"]).replace("|", "\\|").replace("\n", " ")
            lines.append("| " + " | ".join(str(cell) for cell in cells) + f" | {text} |")
        lines.append("")
    return "\n".join([*lines, f"All of it: `{address}`"])


def write_report(run: Run, note: str = "") -> Report:
    """Draw up the report, write `report.json` into the run's record and show it in Prefect.

    Args:
        run: The run, which has a record.
        note: Why the run ended before its jobs did.
    """
    found = record.load(run)
    submitted = None if found is not None and found.jobs is not None else ()
    report = make_report(run, account(run, submitted), note)
    address = record.put(run, "report.json", json.dumps(report.as_json(), indent=1))
    with prefect_may_be_away():
        create_markdown_artifact(
            markdown(report, address), key=artifact_key(run, "report"), description=report.summary
        )
    return report
