"""What is shown of a run while it runs: artifacts in Prefect, a bar in a terminal."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tasks.policy import Observation
from tasks.run import Run

logger = logging.getLogger("prefect.dcp")


def artifact_key(run: Run, what: str) -> str:
    """A key of a Prefect artifact: lower-case letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", f"{run.names.app}-{what}".lower()).strip("-")


def counts(seen: Observation) -> dict[str, int]:
    """The numbers that a person follows."""
    found = seen.account
    running = min(seen.queue.in_flight, len(found.open)) if seen.queue else 0
    return {
        "done": len(found.succeeded) + len(found.skipped),
        "running": running,
        "waiting": len(found.open) - running,
        "failed": len(found.failed),
    }


def table(seen: Observation) -> list[dict[str, Any]]:
    """The counts as rows of a table artifact."""
    numbers = {f"jobs {name}": number for name, number in seen.account.counts().items()}
    if seen.queue:
        numbers["messages waiting (approximate)"] = seen.queue.waiting
        numbers["messages in flight (approximate)"] = seen.queue.in_flight
    numbers |= {
        "machines": len(seen.machines),
        "machines asked for": seen.target,
        "containers running": seen.running,
        "containers asked for": seen.desired,
    }
    return [{"what": what, "number": number} for what, number in numbers.items()]


@contextmanager
def told(run: Run) -> Iterator[Callable[[Observation], None]]:
    """Show a run: yields a function to be called with each observation.

    The progress and table artifacts are written when they change. In a terminal there is a bar
    with the jobs done, running, waiting and failed, the rate and the time left.
    """
    console = Console(stderr=True, markup=False, highlight=False)
    shown: dict[str, Any] = {}
    with _bar(console) as bar, _logs_above_the_bar(console):
        line = bar.add_task("", total=None, numbers="", rate="")

        def tell(seen: Observation) -> None:
            numbers = counts(seen)
            total = len(seen.account.submitted)
            bar.update(
                line,
                total=total,
                completed=seen.account.ended,
                numbers=f"{total} jobs: "
                + ", ".join(f"{number} {name}" for name, number in numbers.items()),
                rate=rate(shown.setdefault("first", (seen.at, seen.account.ended)), seen),
            )
            rows = table(seen)
            if rows != shown.get("rows"):
                share = 100.0 * seen.account.ended / total if total else 0.0
                shown["artifact"] = _write(run, shown.get("artifact"), share, rows)
                shown["rows"] = rows

        yield tell


def rate(first: tuple[datetime, int], seen: Observation) -> str:
    """Jobs ended an hour since the first look, in words; "" as long as it is unknown."""
    hours = (seen.at - first[0]).total_seconds() / 3600
    ended = seen.account.ended - first[1]
    return f"{ended / hours:.0f} jobs/hour" if hours > 0 and ended > 0 else ""


@contextmanager
def _logs_above_the_bar(console: Console) -> Iterator[None]:
    """Have Prefect log through the bar's console, which puts the lines above the bar."""
    handlers = [one for one in logging.root.handlers if isinstance(one, PrefectConsoleHandler)]
    consoles = [handler.console for handler in handlers]
    try:
        for handler in handlers:
            handler.console = console
        yield
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


def _write(
    run: Run, artifact: UUID | None, share: float, rows: list[dict[str, Any]]
) -> UUID | None:
    key = artifact_key(run, "progress")
    about = f"run {run.run_id}"
    with prefect_may_be_away():
        if artifact is None:
            made = create_progress_artifact(share, key=key, description=about)
            artifact = cast(UUID, made)  # a coroutine only when called in an event loop
        else:
            update_progress_artifact(artifact, progress=share)
        create_table_artifact(rows, key=artifact_key(run, "counts"), description=about)
    return artifact


@contextmanager
def prefect_may_be_away() -> Iterator[None]:
    """Go on when Prefect does not answer: what it shows is worth less than the run itself."""
    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("Prefect could not be told: %s", error)
