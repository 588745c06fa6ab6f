"""The message counts of a queue at earlier times."""

from collections import deque
from dataclasses import dataclass, field

Counts = tuple[int, int, int]
NONE: Counts = (0, 0, 0)


@dataclass
class CountHistory:
    """The recorded counts of a queue."""

    _noted: deque[tuple[float, Counts]] = field(default_factory=deque)

    def note(self, at: float, counts: Counts) -> None:
        """Record the counts at a time; the first record also applies to all times before it."""
        if not self._noted:
            at = float("-inf")
        if not self._noted or self._noted[-1][1] != counts:
            self._noted.append((at, counts))

    def as_of(self, at: float) -> Counts:
        """Return the counts at a time, and drop older ones."""
        while len(self._noted) > 1 and self._noted[1][0] <= at:
            self._noted.popleft()
        return self._noted[0][1] if self._noted else NONE

    def clear(self) -> None:
        """Drop all records."""
        self._noted.clear()
