"""Whether somebody watches a run: its flow says so each minute, in the run's record.

`watch.json` says who watches and how often that is written. Its age is told by S3 alone, from when
S3 stored it (`Last-Modified`) to when S3 answers (`Date`), so that no other clock counts (Amazon S3
API Reference, "Common response headers"). A flow that is killed, or whose computer sleeps, falls
silent; a run that nobody has watched for five beats may be taken over. Whoever ends in order takes
its beat away, so that the run need not wait for that.
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
JOIN_SECONDS = 10  # for a beat that is being written
_KEPT: set[str] = set()  # the runs that this process watches, by where their beat is
MISSED = 5  # beats; an outage of S3 or a slow minute must not look like the end of a flow


class Beat(BaseModel):
    """What stands in `watch.json`.

    Attributes:
        at: When it was written, by the clock of who wrote it; for people.
        every: Seconds from one beat to the next.
        by: Who watches: a flow run's id, or computer and process.
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    every: float = Field(gt=0, le=3600)
    by: str


@dataclass(frozen=True)
class Watch:
    """The newest beat of a run.

    Attributes:
        beat: The beat.
        age: How long ago S3 stored it, by S3's clock.
    """

    beat: Beat
    age: timedelta

    @property
    def alive(self) -> bool:
        """Whether who wrote it is still there, as far as it can be known."""
        return self.age <= timedelta(seconds=MISSED * self.beat.every)


def newest(run: Run) -> Watch | None:
    """The newest beat of a run, or None when nobody ever watched it."""
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
        logger.warning("run %s: %s is not ours: %s", run.run_id, NAME, error)
        return None
    return Watch(beat, answered - found["LastModified"])


def watched(run: Run) -> bool:
    """Whether somebody watches the run now."""
    found = newest(run)
    return found is not None and found.alive


@contextmanager
def kept(run: Run, every: float | None = None) -> Iterator[None]:
    """Say for the time of the `with` block that the run is watched.

    A beat that cannot be written is logged and breaks nothing off. Within another such block of
    the same process nothing is to be done.

    Args:
        run: The run.
        every: Seconds from one beat to the next; left out, a minute, or five looks of the monitor
            where these take less.
    """
    from prefect.runtime import flow_run

    place = f"{run.config.aws_bucket}/{run.key(NAME)}"
    if place in _KEPT:
        yield
        return
    every = every or min(SECONDS, LOOKS * run.config.monitor_seconds)
    by = str(flow_run.get_id() or f"{socket.gethostname()}/{os.getpid()}")
    over = Event()
    # The first one before anything else is done: whoever looks must not find the run alone.
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
    """Delete the beat, unless somebody else has written a newer one."""
    try:
        last = newest(run)
        if last is not None and last.beat.by == by:
            record.forget(run, NAME)
    except AwsError as error:
        logger.warning("run %s: its beat is left to grow old: %s", run.run_id, error)


def _beat_until(over: Event, run: Run, every: float, by: str) -> None:
    while not over.wait(every):
        _beat(run, every, by)


def _beat(run: Run, every: float, by: str) -> None:
    beat = Beat(at=datetime.now(UTC), every=every, by=by)
    try:
        record.put(run, NAME, beat.model_dump_json())
    except AwsError as error:
        logger.warning("run %s: that it is watched could not be written: %s", run.run_id, error)
