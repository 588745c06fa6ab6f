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
LEAST_POLLS = 5
_LONGEST_PAUSE = 60.0
_SHORTEST_PAUSE = 0.2


@dataclass(frozen=True)
class QueuePoll:
    """One poll of the queue.

    Attributes:
        at: Time of the poll (`time.monotonic`), in seconds.
        counts: Messages in the queue.
    """

    at: float
    counts: Counts

    @property
    def in_flight_only(self) -> QueuePoll:
        """The messages in flight alone: a run that drains does not start the others."""
        return replace(self, counts=Counts(0, self.counts.in_flight, 0))


@dataclass(frozen=True)
class QueueDone:
    """Whether the queue is done, from the polls so far. Immutable: `after` returns the next value.

    Attributes:
        idle_seconds: How long the queue must stay empty.
        since: Time of the first of the consecutive empty polls.
        until: Time of the last of them.
        polls: Number of them.
    """

    idle_seconds: float
    since: float = 0.0
    until: float = 0.0
    polls: int = 0

    def after(self, poll: QueuePoll | None) -> QueueDone:
        """The value after one more poll; None: the poll failed."""
        if poll is None or not poll.counts.none:
            return QueueDone(self.idle_seconds)
        since = self.since if self.polls else poll.at
        return QueueDone(self.idle_seconds, since, poll.at, self.polls + 1)

    @property
    def done(self) -> bool:
        """Whether every poll of the last `idle_seconds`, at least five, found the queue empty."""
        return self.polls >= LEAST_POLLS and self.until - self.since >= self.idle_seconds

    @property
    def pause(self) -> float:
        """Seconds until the next poll."""
        return min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, self.idle_seconds / 10))


def poll(sqs: SQSClient, queue_url: str, now: float) -> QueuePoll | None:
    """Poll the queue; None if that fails. A deleted queue counts as empty."""
    try:
        return QueuePoll(now, counts(sqs, queue_url))
    except ClientError as error:
        if error.response["Error"]["Code"] in NO_QUEUE:
            return QueuePoll(now, Counts(0, 0, 0))
        log.warning("Could not count the queue's messages: %s", error)
        return None
    except BotoCoreError as error:
        log.warning("Could not count the queue's messages: %s", error)
        return None
