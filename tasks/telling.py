"""What is shown of a run while it runs: artifacts in Prefect, a bar in a terminal."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tasks.log_links import links
from tasks.money import figure
from tasks.observation import Observation
from tasks.run import Run

logger = logging.getLogger("prefect.dcp")

WRITE_EVERY = timedelta(minutes=10)


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


def table(seen: Observation, hours_left: float | None = None) -> list[dict[str, Any]]:
    """The counts, and what the run has cost, as rows of a table artifact.

    Args:
        seen: What was seen.
        hours_left: How long the rest takes at the rate so far; None when that is not known.
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
        "machines asked for": seen.target,
        "containers running": seen.running,
        "containers asked for": seen.desired,
    }


@contextmanager
def told(run: Run) -> Iterator[Callable[[Observation], None]]:
    """Show a run: yields a function to be called with each observation.

    At first a page of links is written. The progress and table artifacts are written when a count
    changes, and every ten minutes for what the run has cost: at most two calls a look. In a
    terminal there is a bar with the jobs done, running, waiting and failed, the rate, the cost and
    the time left.
    """
    console = Console(stderr=True, markup=False, highlight=False)
    shown: dict[str, Any] = {}
    _write_links(run)
    with _bar(console) as bar, _logs_above_the_bar(console):
        line = bar.add_task("", total=None, numbers="", rate="")

        def tell(seen: Observation) -> None:
            jobs = counts(seen)
            total = len(seen.account.submitted)
            speed = jobs_an_hour(shown.setdefault("first", (seen.at, seen.account.ended)), seen)
            bar.update(
                line,
                total=total,
                completed=seen.account.ended,
                numbers=f"{total} jobs: "
                + ", ".join(f"{number} {name}" for name, number in jobs.items()),
                rate=rate(speed, seen),
            )
            what = numbers(seen)
            written = shown.get("at")
            if what != shown.get("what") or written is None or seen.at - written >= WRITE_EVERY:
                share = 100.0 * seen.account.ended / total if total else 0.0
                rows = table(seen, len(seen.account.open) / speed if speed else None)
                shown["artifact"] = _write(run, shown.get("artifact"), share, rows)
                shown["what"], shown["at"] = what, seen.at

        yield tell


def jobs_an_hour(first: tuple[datetime, int], seen: Observation) -> float | None:
    """Jobs ended an hour since the first look; None as long as it is unknown.

    Args:
        first: When the first look was, and how many jobs had ended then.
        seen: This look.
    """
    hours = (seen.at - first[0]).total_seconds() / 3600
    ended = seen.account.ended - first[1]
    return ended / hours if hours > 0 and ended > 0 else None


def rate(speed: float | None, seen: Observation) -> str:
    """How fast the run is and what it costs, in words; "" as long as neither is known."""
    said = [] if speed is None else [f"{speed:.0f} jobs/hour"]
    if seen.spend.usd is not None and seen.spend.machine_hours:
        said.append(f"{figure(seen.spend.usd)} USD, {figure(seen.spend.usd_an_hour)} USD/hour")
    return ", ".join(said)


@contextmanager
def _logs_above_the_bar(console: Console) -> Iterator[None]:
    """Have Prefect log through the bar's console, which puts the lines above the bar."""
    from prefect.logging.handlers import PrefectConsoleHandler

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
    from prefect.artifacts import (
        create_progress_artifact,
        create_table_artifact,
        update_progress_artifact,
    )

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


def _write_links(run: Run) -> None:
    from prefect.artifacts import create_markdown_artifact

    lines = [f"# {run.names.app} {run.run_id}", ""]
    lines += [f"- [{what}]({address})" for what, address in links(run).items()]
    with prefect_may_be_away():
        create_markdown_artifact(
            "\n".join(lines),
            key=artifact_key(run, "links"),
            description=f"where run {run.run_id} is in AWS",
        )


@contextmanager
def prefect_may_be_away() -> Iterator[None]:
    """Go on when Prefect does not answer: what it shows is worth less than the run itself."""
    import httpx
    from prefect.exceptions import PrefectException

    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("Prefect could not be told: %s", error)
