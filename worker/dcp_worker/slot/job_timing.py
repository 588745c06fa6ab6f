"""When to prefetch the next job, and whether a job can still finish. Makes no calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_REMEMBERED = 5
# The next job should be ready shortly before the running job finishes.
_LEAD_SECONDS = 5.0
_LEAD_FETCHES = 3.0


def _recent() -> deque[float]:
    return deque(maxlen=_REMEMBERED)


@dataclass(frozen=True)
class JobTimes:
    """Seconds that the last jobs of a slot took for computing and for fetching inputs."""

    computing: deque[float] = field(default_factory=_recent)
    fetching: deque[float] = field(default_factory=_recent)

    @property
    def prefetch_after(self) -> float:
        """Seconds of computing after which the slot prefetches the next job."""
        return prefetch_after(tuple(self.computing), tuple(self.fetching))


def prefetch_after(computing: Sequence[float], fetching: Sequence[float]) -> float:
    """Seconds of computing after which a slot prefetches the next job; as late as possible.

    No idle slot can run a message that this slot holds, and its 12 hours have started. The shortest
    of the last jobs decides; without one, the slot prefetches at once.
    """
    lead = max(_LEAD_SECONDS, _LEAD_FETCHES * max(fetching, default=0.0))
    return max(0.0, min(computing, default=0.0) - lead)


def enough_for_all(visible: int, in_flight: int) -> bool:
    """Whether a busy slot may take one more message.

    Each busy slot has a message in flight. While at least as many messages are visible, every slot
    finds one when it needs it.
    """
    return visible > max(1, in_flight)


def can_finish(elapsed: float, computing: Sequence[float], left: float) -> bool:
    """Whether a job may finish in time, judged by the last jobs.

    Args:
        elapsed: Seconds that the job has computed.
        computing: Seconds that the last jobs took.
        left: Seconds that remain.
    """
    if left <= 0:
        return False
    # A job that has already taken longer than all of the last ones may finish at any time.
    longest = max(computing, default=0.0)
    return elapsed >= longest or min(computing) - elapsed <= left
