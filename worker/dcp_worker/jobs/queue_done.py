"""Whether the queue is done: it has been empty for long enough."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.jobs.queue import NO_QUEUE, Counts, counts

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

# The counts of SQS are approximate ("GetQueueAttributes", SQS API): one poll proves nothing.
LEAST_LOOKS = 5
_LONGEST_PAUSE = 60.0
_SHORTEST_PAUSE = 0.2


@dataclass(frozen=True)
class Look:
    """One poll of the queue.

    Attributes:
        at: Time of the poll (`time.monotonic`), in seconds.
        counts: Messages in the queue.
    """

    at: float
    counts: Counts

    @property
    def at_work(self) -> Look:
        """The messages in flight alone: a run that drains does not start the others."""
        return replace(self, counts=Counts(0, self.counts.in_flight, 0))


@dataclass(frozen=True)
class QueueDone:
    """Whether the queue is done, from the polls so far. Immutable: `seen` returns the next value.

    Attributes:
        idle_seconds: How long the queue must stay empty.
        since: Time of the first of the consecutive empty polls.
        until: Time of the last of them.
        looks: Number of them.
    """

    idle_seconds: float
    since: float = 0.0
    until: float = 0.0
    looks: int = 0

    def seen(self, look: Look | None) -> QueueDone:
        """The value after one more poll; None: the poll failed."""
        if look is None or not look.counts.none:
            return QueueDone(self.idle_seconds)
        since = self.since if self.looks else look.at
        return QueueDone(self.idle_seconds, since, look.at, self.looks + 1)

    @property
    def done(self) -> bool:
        """Whether every poll of the last `idle_seconds`, at least five, found the queue empty."""
        return self.looks >= LEAST_LOOKS and self.until - self.since >= self.idle_seconds

    @property
    def pause(self) -> float:
        """Seconds until the next poll."""
        return min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, self.idle_seconds / 10))


def look(sqs: SQSClient, queue_url: str, now: float) -> Look | None:
    """Poll the queue; None if that fails. A deleted queue counts as empty."""
    try:
        return Look(now, counts(sqs, queue_url))
    except ClientError as error:
        if error.response["Error"]["Code"] in NO_QUEUE:
            return Look(now, Counts(0, 0, 0))
        log.warning("Could not count the queue's messages: %s", error)
        return None
    except BotoCoreError as error:
        log.warning("Could not count the queue's messages: %s", error)
        return None
