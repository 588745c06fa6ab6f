"""When the work is over: the queue has held nothing for long enough."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.jobs.queue import NO_QUEUE, Counts, counts

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

# The counts of SQS are approximate ("GetQueueAttributes", SQS API): one look proves nothing.
LEAST_LOOKS = 5
_LONGEST_PAUSE = 60.0
_SHORTEST_PAUSE = 0.2


@dataclass(frozen=True)
class Look:
    """What a queue held at one moment.

    Attributes:
        at: The moment, as of `time.monotonic`, in seconds.
        counts: Its messages.
    """

    at: float
    counts: Counts

    @property
    def at_work(self) -> Look:
        """The same without what waits, of which a run that finishes begins nothing more."""
        return replace(self, counts=Counts(0, self.counts.in_flight, 0))


@dataclass(frozen=True)
class QueueDone:
    """Whether the queue is done, as far as it was looked at. A value: `seen` makes the next one.

    Attributes:
        idle_seconds: How long it must have been empty.
        since: When the first of the empty looks in a row was.
        until: When the last of them was.
        looks: How many they are.
    """

    idle_seconds: float
    since: float = 0.0
    until: float = 0.0
    looks: int = 0

    def seen(self, look: Look | None) -> QueueDone:
        """What is known after one more look; None: the queue could not be looked at."""
        if look is None or not look.counts.none:
            return QueueDone(self.idle_seconds)
        since = self.since if self.looks else look.at
        return QueueDone(self.idle_seconds, since, look.at, self.looks + 1)

    @property
    def done(self) -> bool:
        """Whether it held nothing at every look of the last `idle_seconds`, five or more."""
        return self.looks >= LEAST_LOOKS and self.until - self.since >= self.idle_seconds

    @property
    def pause(self) -> float:
        """Seconds to the next look."""
        return min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, self.idle_seconds / 10))


def look(sqs: SQSClient, queue_url: str, now: float) -> Look | None:
    """Look at the queue; None when SQS does not say. A queue that is deleted holds nothing."""
    try:
        return Look(now, counts(sqs, queue_url))
    except ClientError as error:
        if error.response["Error"]["Code"] in NO_QUEUE:
            return Look(now, Counts(0, 0, 0))
        log.warning("The queue cannot be looked at: %s", error)
        return None
    except BotoCoreError as error:
        log.warning("The queue cannot be looked at: %s", error)
        return None
