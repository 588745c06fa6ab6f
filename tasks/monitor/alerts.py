"""Alerts about a run: which events to send after a poll, each once in a run. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from blocks.plurals import plural
from tasks.monitor.observation import Observation
from tasks.monitor.policy import Decision, minutes, over_budget
from tasks.monitor.trackers import Memory
from tasks.prefect_output import events
from tasks.runs.limits import Limits

LATE = timedelta(minutes=15)  # without any machine
UNWATCHED = timedelta(minutes=10)  # between two polls
FAILING_LEAST = 10  # failed jobs
FAILING_SHARE = 0.2  # of those that have ended


@dataclass(frozen=True)
class News:
    """An event to send.

    Attributes:
        event: Its name, from `tasks.prefect_output.events`.
        text: What happened, in a sentence.
        payload: Further values.
    """

    event: str
    text: str
    payload: dict[str, Any] = field(default_factory=dict)


def news(
    seen: Observation,
    limits: Limits,
    memory: Memory,
    decision: Decision,
    last: datetime | None = None,
) -> tuple[News, ...]:
    """The alerts after a poll, without those that were sent before.

    Args:
        seen: The observation.
        limits: The run's size and end.
        memory: The state after this observation, with the events sent so far.
        decision: The decision.
        last: Time of the poll before; None if this is the first one.
    """
    payload = {
        "jobs": seen.account.counts(),
        "machines": len(seen.machines),
        "usd": memory.spending.spent,
        "usd_an_hour": memory.spending.usd_an_hour,
    }
    return tuple(
        News(event, text, payload)
        for event, text in _found(seen, limits, memory, decision, last)
        if event not in memory.told
    )


def _found(
    seen: Observation,
    limits: Limits,
    memory: Memory,
    decision: Decision,
    last: datetime | None,
) -> Iterator[tuple[str, str]]:
    why = decision.stop or decision.finish
    yield (
        events.STARTED,
        f"{plural(len(seen.account.submitted), 'job')}, {plural(len(seen.machines), 'machine')}",
    )
    alone = seen.at - (last or seen.at)
    if alone >= max(UNWATCHED, timedelta(seconds=3 * limits.look_seconds)):
        yield events.ORPHANED, f"no flow monitored the run for {minutes(alone)} minutes"
    began = limits.ends_at - limits.most
    none_yet = memory.first_machine.machines_since is None
    if seen.account.open and none_yet and seen.at - began >= LATE:
        yield events.MACHINES_LATE, f"no machine launched within {minutes(LATE)} minutes"
    failed, ended = len(seen.account.failed), seen.account.ended
    if failed >= FAILING_LEAST and failed >= FAILING_SHARE * ended:
        alike = f", all for the same reason: {seen.alike}" if seen.alike else ""
        yield events.JOBS_FAILING, f"{failed} of {ended} finished jobs failed{alike}"
    elif seen.alike and 0 < limits.alike_failures <= ended:
        yield events.JOBS_FAILING, why
    stalled = memory.idle.expired(seen.at) or memory.progress.stalled(seen, limits)
    if seen.account.open and (seen.broken or stalled):
        yield events.STALLED, why or seen.broken
    if {events.OVER_BUDGET, events.OUT_OF_TIME} & memory.told:
        return
    if seen.account.open and over_budget(seen, limits, memory):
        yield events.OVER_BUDGET, why
    elif seen.account.open and (decision.finish or seen.at >= limits.ends_at):
        yield events.OUT_OF_TIME, why
