"""The order to the workers to start no new jobs, in the run's record; they poll for it there."""

import json
from datetime import UTC, datetime

from tasks.runs import record
from tasks.runs.run import Run


def drain(run: Run, why: str) -> None:
    """Let running jobs finish, and no new ones start."""
    order = json.dumps({"why": why, "at": datetime.now(UTC).isoformat()})
    record.put(run, record.FINISH, order)


def resume(run: Run) -> None:
    """Let jobs start again."""
    record.forget(run, record.FINISH)
