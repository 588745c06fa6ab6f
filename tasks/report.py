"""The report of a run: drawn up, written to S3, shown in Prefect."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from prefect.artifacts import create_markdown_artifact

from tasks import record
from tasks.results import Account, account, read_results
from tasks.run import Run
from tasks.telling import artifact_key, prefect_may_be_away

SHOWN = 50  # problems in the Prefect artifact; all are in report.json


@dataclass(frozen=True)
class Report:
    """What is told at the end of a run, and kept in `report.json`.

    Attributes:
        lost: Jobs without any result.
        problems: The result records of jobs that failed, and a line for each that is lost.
        reasons: Number of failed jobs by reason code.
    """

    app_name: str
    run_id: str
    submitted: int
    succeeded: int
    skipped: int
    failed: int
    lost: int
    note: str = ""
    reasons: dict[str, int] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The report as it is written to `report.json`."""
        return asdict(self)

    @property
    def complete(self) -> bool:
        """Whether every job succeeded or was skipped."""
        return self.failed == 0 and self.lost == 0

    @property
    def summary(self) -> str:
        """The counts in one line."""
        return (
            f"{self.submitted} jobs: {self.succeeded} succeeded, {self.skipped} skipped, "
            f"{self.failed} failed, {self.lost} lost"
        )


def make_report(run: Run, found: Account, note: str = "") -> Report:
    """Draw up the report of a run from its account; reads the records of failed jobs."""
    failures = list(read_results(run, "failed", found.failed))
    lost = []
    if found.open:
        for line in record.job_lines(run):
            message = json.loads(line)
            if message["job_id"] in found.open:
                lost.append(
                    {
                        "job_id": message["job_id"],
                        "Metadata": message["Metadata"],
                        "status": "lost",
                        "reason": "no_result",
                        "reason_text": note or "the run ended before this job had a result",
                    }
                )
    return Report(
        app_name=run.names.app,
        run_id=run.run_id,
        submitted=len(found.submitted),
        succeeded=len(found.succeeded),
        skipped=len(found.skipped),
        failed=len(found.failed),
        lost=len(found.open),
        note=note,
        reasons=dict(Counter(failure["reason"] for failure in failures).most_common()),
        problems=failures + lost,
    )


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
