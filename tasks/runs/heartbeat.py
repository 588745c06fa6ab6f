"""Heartbeat of a run: the flow that monitors it writes `watch.json` in its record every minute.

`watch.json` names the flow and the interval. Its age is the time from S3's `Last-Modified` to the
`Date` of S3's answer, so only S3's clock counts (Amazon S3 API Reference, "Common response
headers"). When a flow is killed or its computer sleeps, the heartbeat stops; after five missed
heartbeats another process may take over the run. A flow that ends properly deletes its heartbeat,
so that nobody has to wait.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Event, Thread

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.aws.errors import AwsError, is_missing
from tasks.runs import record
from tasks.runs.run import Run

logger = logging.getLogger("prefect.dcp")

NAME = "watch.json"
SECONDS = 60.0
LOOKS = 5
JOIN_SECONDS = 10  # for a heartbeat that is being written
_KEPT: set[str] = set()  # runs that this process monitors, by address of their heartbeat
MISSED = 5  # heartbeats; a short outage of S3 must not look like a dead flow


class Beat(BaseModel):
    """The content of `watch.json`.

    Attributes:
        at: Time of writing by the writer's clock; for people only.
        every: Seconds between heartbeats.
        by: Who monitors the run: id of a flow run, or host and process.
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    every: float = Field(gt=0, le=3600)
    by: str


@dataclass(frozen=True)
class Watch:
    """The newest heartbeat of a run.

    Attributes:
        beat: The heartbeat.
        age: Time since S3 stored it, by S3's clock.
    """

    beat: Beat
    age: timedelta

    @property
    def alive(self) -> bool:
        """Whether its writer is presumably still running."""
        return self.age <= timedelta(seconds=MISSED * self.beat.every)


def newest(run: Run) -> Watch | None:
    """The newest heartbeat of a run; None if there is none."""
    try:
        found = run.aws.s3.get_object(Bucket=run.config.aws_bucket, Key=run.key(NAME))
    except AwsError as error:
        if is_missing(error):
            return None
        raise
    answered = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
    try:
        beat = Beat.model_validate_json(found["Body"].read())
    except ValidationError as error:
        logger.warning("run %s: Could not parse %s: %s", run.run_id, NAME, error)
        return None
    return Watch(beat, answered - found["LastModified"])


def watched(run: Run) -> bool:
    """Whether a process monitors the run now."""
    found = newest(run)
    return found is not None and found.alive


@contextmanager
def kept(run: Run, every: float | None = None) -> Iterator[None]:
    """Write heartbeats of the run during the `with` block.

    A failure to write one is logged and otherwise ignored. A nested block does nothing.

    Args:
        run: The run.
        every: Seconds between heartbeats (default: a minute, or five polls of the monitor if
            shorter).
    """
    from prefect.runtime import flow_run

    place = f"{run.config.aws_bucket}/{run.key(NAME)}"
    if place in _KEPT:
        yield
        return
    every = every or min(SECONDS, LOOKS * run.config.monitor_seconds)
    by = str(flow_run.get_id() or f"{socket.gethostname()}/{os.getpid()}")
    over = Event()
    # Before anything else, so that a reaper never finds the run without a heartbeat.
    _beat(run, every, by)
    thread = Thread(target=_beat_until, args=(over, run, every, by), name="watch", daemon=True)
    thread.start()
    _KEPT.add(place)
    try:
        yield
    finally:
        _KEPT.discard(place)
        over.set()
        thread.join(JOIN_SECONDS)
        _take_away(run, by)


def _take_away(run: Run, by: str) -> None:
    """Delete the heartbeat, unless another process has written a newer one."""
    try:
        last = newest(run)
        if last is not None and last.beat.by == by:
            record.forget(run, NAME)
    except AwsError as error:
        logger.warning(
            "run %s: could not delete the heartbeat; it will expire: %s", run.run_id, error
        )


def _beat_until(over: Event, run: Run, every: float, by: str) -> None:
    while not over.wait(every):
        _beat(run, every, by)


def _beat(run: Run, every: float, by: str) -> None:
    beat = Beat(at=datetime.now(UTC), every=every, by=by)
    try:
        record.put(run, NAME, beat.model_dump_json())
    except AwsError as error:
        logger.warning("run %s: could not write the heartbeat: %s", run.run_id, error)
