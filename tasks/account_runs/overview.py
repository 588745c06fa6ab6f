"""The runs of an account as table rows, JSON, and a list of orphaned resources (pure)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from blocks.plurals import plural
from tasks.account_runs.discovery import RunState, State


def row_of(run: RunState, now: datetime) -> dict[str, str]:
    """A run as a row of a table."""
    age = run.age(now)
    return {
        "app": run.app,
        "run": run.run_id,
        "region": run.region,
        "state": str(run.state),
        "age": hours(age) if age is not None else "",
        "jobs": ", ".join(f"{number} {name}" for name, number in run.jobs),
        "queue": f"{run.queue.waiting} waiting, {run.queue.in_flight} in flight"
        if run.queue
        else "",
        "machines": ", ".join(f"{number} {state}" for state, number in run.machines().items()),
        "USD": "" if run.usd is None else f"{run.usd:.2f}",
        "note": _note(run),
    }


def _note(run: RunState) -> str:
    if run.orphans:
        return f"orphaned: {', '.join(map(str, run.orphans))}"
    if run.unread:
        return run.unread
    if run.state is State.WATCHED and run.watch is not None:
        return f"by {run.watch.beat.by}"
    return run.record.note if run.record is not None else ""


def hours(span: timedelta) -> str:
    """A duration in hours and minutes, such as `3:07 h`."""
    minutes = int(span.total_seconds() // 60)
    return f"{minutes // 60}:{minutes % 60:02} h"


def orphans_of(runs: Sequence[RunState]) -> list[str]:
    """Resources whose run has ended or has no record, each with the command that deletes it."""
    return [
        f"{one} of app {run.app}, run {run.run_id}: `dcp cleanup {run.app}`"
        for run in runs
        for one in run.orphans
    ]


def summary_of(runs: Sequence[RunState]) -> str:
    """The runs in one line."""
    states = [str(run.state) for run in runs]
    counts = [f"{states.count(state)} {state}" for state in State if state in states]
    return plural(len(runs), "run") + (f": {', '.join(counts)}" if counts else "")


def as_json(run: RunState, now: datetime) -> dict[str, Any]:
    """A run as `dcp status --json` prints it; times in seconds, money in USD."""
    age = run.age(now)
    return {
        "app": run.app,
        "run_id": run.run_id,
        "region": run.region,
        "bucket": run.bucket,
        "state": str(run.state),
        "age_seconds": None if age is None else round(age.total_seconds()),
        "jobs": dict(run.jobs),
        "queue": {"waiting": run.queue.waiting, "in_flight": run.queue.in_flight}
        if run.queue
        else None,
        "machines": run.machines(),
        "usd": run.usd,
        "watched_by": run.watch.beat.by if run.watch and run.watch.alive else None,
        "note": run.record.note if run.record else "",
        "unread": run.unread,
        "resources": [
            {"kind": one.kind, "id": one.id, "state": one.state} for one in run.resources
        ],
        "orphans": [str(one) for one in run.orphans],
    }
