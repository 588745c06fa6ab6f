"""When the next job is fetched while one computes, and whether a job can still end. No calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_REMEMBERED = 5
# The next job is to be ready a little before the end of the one that computes.
_LEAD_SECONDS = 5.0
_LEAD_FETCHES = 3.0


def _recent() -> deque[float]:
    return deque(maxlen=_REMEMBERED)


@dataclass(frozen=True)
class Pace:
    """Seconds that the last jobs of a slot took to compute and to fetch."""

    computing: deque[float] = field(default_factory=_recent)
    fetching: deque[float] = field(default_factory=_recent)

    @property
    def fetch_at(self) -> float:
        """Seconds of computing after which the next job is fetched."""
        return fetch_at(tuple(self.computing), tuple(self.fetching))


def fetch_at(computing: Sequence[float], fetching: Sequence[float]) -> float:
    """Seconds of computing after which the next job is fetched; late, so that none is held long.

    A message that is held is one that no idle slot can run, and its 12 hours have begun. Reckoned
    by the shortest of the last jobs; at once as long as there is none.
    """
    lead = max(_LEAD_SECONDS, _LEAD_FETCHES * max(fetching, default=0.0))
    return max(0.0, min(computing, default=0.0) - lead)


def plenty(visible: int, in_flight: int) -> bool:
    """Whether a slot that computes may take one more message.

    Each slot that works has a message in flight: as long as one for each of them stays visible,
    every slot finds one when it needs it.
    """
    return visible > max(1, in_flight)


def can_end(elapsed: float, computing: Sequence[float], left: float) -> bool:
    """Whether a job may end in time, as far as the last jobs tell.

    Args:
        elapsed: Seconds that it has computed.
        computing: Seconds that the last ones took.
        left: Seconds that it has.
    """
    if left <= 0:
        return False
    # A job that has taken longer than any of the last may end at any time.
    longest = max(computing, default=0.0)
    return elapsed >= longest or min(computing) - elapsed <= left
