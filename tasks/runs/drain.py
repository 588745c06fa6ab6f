"""The drain signal in the run's record: workers poll for it, and start no new jobs."""

import json
from datetime import UTC, datetime

from tasks.runs import record
from tasks.runs.run import Run


def drain(run: Run, why: str) -> None:
    """Have workers finish their running jobs and start no new ones."""
    order = json.dumps({"why": why, "at": datetime.now(UTC).isoformat()})
    record.put(run, record.FINISH, order)


def resume(run: Run) -> None:
    """Have workers start new jobs again."""
    record.forget(run, record.FINISH)
