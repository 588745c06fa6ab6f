"""The memory of a container's processes, from /proc (Linux)."""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_SAMPLE_SECONDS = 1.0


@dataclass
class PeakMemory:
    """Peak resident sets in MB: the sum over the processes of a slot, and the supervisor."""

    slot_mb: float = 0.0
    supervisor_mb: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def watch(self, supervisor: int) -> None:
        """Measure until `stop` is called."""
        while not self._over.wait(_SAMPLE_SECONDS):
            slots = [_tree(pid) for pid in _children(supervisor)]
            self.slot_mb = max([self.slot_mb, *(sum(map(_resident_mb, slot)) for slot in slots)])
            self.supervisor_mb = max(self.supervisor_mb, _resident_mb(supervisor))

    def stop(self) -> None:
        """Stop measuring."""
        self._over.set()


@contextlib.contextmanager
def sampled(supervisor: int) -> Iterator[PeakMemory]:
    """The memory of a container's processes during the block."""
    memory = PeakMemory()
    thread = threading.Thread(target=memory.watch, args=(supervisor,))
    thread.start()
    try:
        yield memory
    finally:
        memory.stop()
        thread.join()


def _children(pid: int) -> list[int]:
    children = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has just ended
            children += [int(child) for child in path.read_text().split()]
    return children


def _tree(pid: int) -> list[int]:
    return [pid, *(below for child in _children(pid) for below in _tree(child))]


def _resident_mb(pid: int) -> float:
    with contextlib.suppress(OSError):  # it has just ended
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0
