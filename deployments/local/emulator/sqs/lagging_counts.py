"""The counts of a queue as they were some time ago."""

from collections import deque
from dataclasses import dataclass, field

Counts = tuple[int, int, int]
NONE: Counts = (0, 0, 0)


@dataclass
class CountHistory:
    """What a queue held, at the times at which it was noted."""

    _noted: deque[tuple[float, Counts]] = field(default_factory=deque)

    def note(self, at: float, counts: Counts) -> None:
        """Note what the queue holds at a time; the first note stands for all time before."""
        if not self._noted:
            at = float("-inf")
        if not self._noted or self._noted[-1][1] != counts:
            self._noted.append((at, counts))

    def as_of(self, at: float) -> Counts:
        """Return what the queue held at a time, and forget what was before."""
        while len(self._noted) > 1 and self._noted[1][0] <= at:
            self._noted.popleft()
        return self._noted[0][1] if self._noted else NONE

    def clear(self) -> None:
        """Forget all."""
        self._noted.clear()
