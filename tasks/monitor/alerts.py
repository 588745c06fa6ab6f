"""What of a look at a run is news to tell: each once in a run. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tasks.monitor.observation import Observation
from tasks.monitor.policy import Decision, minutes, over_budget
from tasks.monitor.trackers import Memory
from tasks.prefect_output import events
from tasks.runs.limits import Limits

LATE = timedelta(minutes=15)  # without any machine
UNWATCHED = timedelta(minutes=10)  # from one look to the next
FAILING_LEAST = 10  # failed jobs
FAILING_SHARE = 0.2  # of those that have ended


@dataclass(frozen=True)
class News:
    """Something to be told.

    Attributes:
        event: Its name, of `tasks.prefect_output.events`.
        text: What happened, in a sentence.
        payload: What else is told.
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
    """What is to be told after a look; nothing that was told before.

    Args:
        seen: What was seen.
        limits: The run's size and end.
        memory: The memory after this observation; `told` has the events of earlier ones.
        decision: What was decided.
        last: When the look before was; None when there was none.
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
    yield events.STARTED, f"{len(seen.account.submitted)} jobs, and {len(seen.machines)} machines"
    alone = seen.at - (last or seen.at)
    if alone >= max(UNWATCHED, timedelta(seconds=3 * limits.look_seconds)):
        yield events.ORPHANED, f"nobody looked at the run for {minutes(alone)} minutes"
    began = limits.ends_at - limits.most
    none_yet = memory.first_machine.machines_since is None
    if seen.account.open and none_yet and seen.at - began >= LATE:
        yield events.MACHINES_LATE, f"no machine came within {minutes(LATE)} minutes"
    failed, ended = len(seen.account.failed), seen.account.ended
    if failed >= FAILING_LEAST and failed >= FAILING_SHARE * ended:
        alike = f", all for the same reason: {seen.alike}" if seen.alike else ""
        yield events.JOBS_FAILING, f"{failed} of {ended} jobs that ended have failed{alike}"
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
