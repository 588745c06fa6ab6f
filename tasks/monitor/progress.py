"""Progress display of a run: artifacts in Prefect, a bar in a terminal."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import get_client
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.schemas.actions import ArtifactUpdate
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from blocks.plurals import plural
from tasks.cost.amounts import figure
from tasks.monitor.observation import Observation
from tasks.prefect_output.artifacts import artifact_key, prefect_may_be_away
from tasks.prefect_output.console import console_handlers, outlive_reader
from tasks.prefect_output.run_log import log
from tasks.preflight.finding import LEVELS, Finding, rows, summary
from tasks.resources.console_links import links
from tasks.runs.run import Run

WRITE_EVERY = timedelta(minutes=10)
SUBMISSION_EVERY = 10  # seconds between two progress reports of the submission
LOG_LEVELS = {"warning": logging.WARNING, "note": logging.INFO}
MOST_FINDINGS = 100  # lines of findings in the log; the artifact has all


def table(seen: Observation, hours_left: float | None = None) -> list[dict[str, Any]]:
    """Counts and cost of the run as rows of a table artifact.

    Args:
        seen: The observation.
        hours_left: Estimated hours until the end; None if unknown.
    """
    found = numbers(seen)
    if seen.spend.usd is not None:
        found["USD so far"] = round(seen.spend.usd, 2)
        found["USD an hour"] = round(seen.spend.usd_an_hour, 2)
    if hours_left is not None:
        found["hours left (estimate)"] = round(hours_left, 1)
    return [{"what": what, "number": number} for what, number in found.items()]


def numbers(seen: Observation) -> dict[str, float]:
    """The counts of jobs, messages, machines and containers."""
    found: dict[str, float] = {
        f"jobs {name}": number for name, number in seen.account.counts().items()
    }
    if seen.queue:
        found["messages waiting (approximate)"] = seen.queue.waiting
        found["messages in flight (approximate)"] = seen.queue.in_flight
    return found | {
        "machines": len(seen.machines),
        "machines requested": seen.target,
        "containers running": seen.running,
        "containers requested": seen.desired,
    }


@contextmanager
def told(run: Run) -> Iterator[Callable[[Observation], None]]:
    """Show the progress of a run: yields a function to call with each observation.

    First it writes a page of links. The run has one progress artifact and one table of counts,
    updated when a count changes and every ten minutes for the cost: at most two calls per poll. In
    a terminal, a bar shows the jobs done, running, waiting and failed, the rate, the cost and the
    time left.
    """
    shown: dict[str, Any] = {}
    artifacts = _RunArtifacts(run)
    _write_links(run)
    with terminal_bar() as bar:
        line = bar.add_task("", total=None, numbers="", rate="")

        def tell(seen: Observation) -> None:
            jobs = seen.counts()
            total = len(seen.account.submitted)
            speed = jobs_an_hour(shown.setdefault("first", (seen.at, seen.account.ended)), seen)
            bar.update(
                line,
                total=total,
                completed=seen.account.ended,
                numbers=f"{plural(total, 'job')}: "
                + ", ".join(f"{number} {name}" for name, number in jobs.items()),
                rate=rate(speed, seen),
            )
            what = numbers(seen)
            written = shown.get("at")
            if what != shown.get("what") or written is None or seen.at - written >= WRITE_EVERY:
                share = 100.0 * seen.account.ended / total if total else 0.0
                hours_left = len(seen.account.open) / speed if speed else None
                artifacts.write(share, table(seen, hours_left))
                shown["what"], shown["at"] = what, seen.at

        yield tell


def jobs_an_hour(first: tuple[datetime, int], seen: Observation) -> float | None:
    """Jobs ended per hour since the first poll; None while unknown.

    Args:
        first: Time of the first poll, and the number of jobs that had ended.
        seen: The current observation.
    """
    hours = (seen.at - first[0]).total_seconds() / 3600
    ended = seen.account.ended - first[1]
    return ended / hours if hours > 0 and ended > 0 else None


def rate(speed: float | None, seen: Observation) -> str:
    """Speed and cost of the run, in words; "" while both are unknown."""
    said = [] if speed is None else [f"{speed:.0f} jobs/hour"]
    if seen.spend.usd is not None and seen.spend.machine_hours:
        said.append(f"{figure(seen.spend.usd)} USD, {figure(seen.spend.usd_an_hour)} USD/hour")
    return ", ".join(said)


@contextmanager
def terminal_bar() -> Iterator[Progress]:
    """Show a bar below the lines of Prefect's log, if standard error is a terminal."""
    console = Console(stderr=True, markup=False, highlight=False)
    outlive_reader(console)
    handlers = console_handlers(logging.root) if console.is_terminal else []
    consoles = [handler.console for handler in handlers]
    try:
        for handler in handlers:
            handler.console = console
        with _bar(console) as bar:
            yield bar
    finally:
        for handler, own in zip(handlers, consoles, strict=True):
            handler.console = own


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        TextColumn("{task.fields[numbers]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=3600,  # seconds: jobs end minutes apart
        disable=not console.is_terminal,
    )


class _RunArtifacts:
    """The progress and the table of counts of a run: created once, then updated in place."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._progress: UUID | None = None
        self._counts: UUID | None = None

    def write(self, share: float, rows: list[dict[str, Any]]) -> None:
        """Update both artifacts.

        Args:
            share: Share of the jobs that have ended, in percent.
            rows: The counts.
        """
        with prefect_may_be_away():
            self._progress = _progress(self._run, "progress", self._progress, share)
        with prefect_may_be_away():
            self._counts = _counts(self._run, self._counts, rows)


@contextmanager
def _unless_deleted() -> Iterator[None]:
    """Ignore a missing artifact: somebody may have deleted it in Prefect's UI."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise


def _progress(run: Run, what: str, artifact: UUID | None, share: float) -> UUID:
    """Update a progress artifact of a run, or create it; returns its id."""
    with _unless_deleted():
        if artifact is not None:
            update_progress_artifact(artifact, progress=share)
            return artifact
    key, about = artifact_key(run, what), f"run {run.run_id}"
    return cast(UUID, create_progress_artifact(share, key=key, description=about))


def _counts(run: Run, artifact: UUID | None, rows: list[dict[str, Any]]) -> UUID:
    """Update the table of counts of a run, or create it; returns its id."""
    with _unless_deleted():
        if artifact is not None:
            # Prefect's own function updates progress artifacts only.
            with get_client(sync_client=True) as client:
                client.update_artifact(artifact, ArtifactUpdate(data=json.dumps(rows)))
            return artifact
    key, about = artifact_key(run, "counts"), f"run {run.run_id}"
    made = create_table_artifact(rows, key=key, description=about)
    return cast(UUID, made)  # a coroutine only when called in an event loop


def submission_progress(run: Run, jobs: int) -> Callable[[int], None]:
    """Make a function that reports the progress of a submission, in the log and as an artifact.

    A submission of less than ten seconds is not reported.

    Args:
        run: The run.
        jobs: The number of its jobs.
    """
    reported_at = time.monotonic()
    artifact: UUID | None = None

    def report(sent: int) -> None:
        nonlocal reported_at, artifact
        last = sent == jobs and artifact is not None
        if time.monotonic() - reported_at < SUBMISSION_EVERY and not last:
            return
        reported_at = time.monotonic()
        log(f"{sent} of {plural(jobs, 'job')} in the queue")
        with prefect_may_be_away():
            artifact = _progress(run, "submission", artifact, 100.0 * sent / jobs)

    return report


def show_findings(run: Run, findings: Sequence[Finding], where: str) -> None:
    """Show the findings of preflight, in the log and as artifacts.

    Args:
        run: The run.
        findings: The findings.
        where: The job file's name.
    """
    # Errors are in the last line of the run.
    logged = [finding for finding in findings if finding.level in LOG_LEVELS]
    for finding in logged[:MOST_FINDINGS]:
        log(str(finding), LOG_LEVELS[finding.level])
    if len(logged) > MOST_FINDINGS:
        log(f"... and {len(logged) - MOST_FINDINGS} more", logging.WARNING)
    with prefect_may_be_away():
        create_table_artifact(
            rows(findings), key=artifact_key(run, "findings"), description=summary(findings)
        )
        create_markdown_artifact(
            findings_page(findings, where), key=artifact_key(run, "preflight"), description=where
        )


def findings_page(findings: Sequence[Finding], where: str) -> str:
    """The findings as a Markdown page."""
    lines = [f"# Preflight of {where}", "", summary(findings), ""]
    for level in LEVELS:
        of_level = [finding for finding in findings if finding.level == level]
        if of_level:
            lines += [f"## {level.capitalize()}s", ""]
            lines += [f"- {finding.problem} `{finding.code}`" for finding in of_level]
            lines.append("")
    return "\n".join(lines)


def _write_links(run: Run) -> None:
    lines = [f"# {run.names.app} {run.run_id}", ""]
    lines += [f"- [{what}]({address})" for what, address in links(run).items()]
    with prefect_may_be_away():
        create_markdown_artifact(
            "\n".join(lines),
            key=artifact_key(run, "links"),
            description=f"where run {run.run_id} is in AWS",
        )
