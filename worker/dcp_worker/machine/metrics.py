"""What the machine has to give: CPU, memory, disk and network, every 30 s into the instance's log.

Each sample is one line of JSON, which CloudWatch Logs Insights reads without being told how.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

log = logging.getLogger(__name__)
machine = logging.getLogger("dcp_worker.machine")

SECONDS = 30.0
_MB = 1024 * 1024
# Of version 2, as Amazon Linux 2023 has it, and of version 1 ("Memory Resource Controller", Linux).
_CGROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True)
class Sample:
    """One look at the machine.

    Attributes:
        seconds: The time that the rates are means of.
        cpu_percent: Of all its CPUs together.
        steal_percent: CPU time that the machine was entitled to and did not get: its credits are
            used up, or its host is crowded.
        memory_mb: In use and not to be had back, by the container where it has a limit.
        memory_limit_mb: The container's limit, else the machine's memory.
        disk_free_mb: Free where the jobs work.
        disk_mb: Size of that disk.
        read_mb_s: Read from disks, in MB a second.
        written_mb_s: Written to disks, in MB a second.
        received_mb_s: Received from the network, in MB a second.
        sent_mb_s: Sent to the network, in MB a second.
    """

    seconds: float
    cpu_percent: float
    steal_percent: float
    memory_mb: float
    memory_limit_mb: float
    disk_free_mb: float
    disk_mb: float
    read_mb_s: float
    written_mb_s: float
    received_mb_s: float
    sent_mb_s: float

    @property
    def memory_percent(self) -> float:
        """Memory in use, of its limit."""
        return 100 * self.memory_mb / self.memory_limit_mb if self.memory_limit_mb else 0.0

    @property
    def disk_percent(self) -> float:
        """Disk in use, of its size."""
        return 100 * (1 - self.disk_free_mb / self.disk_mb) if self.disk_mb else 0.0


@dataclass(frozen=True)
class Rule:
    """A figure that is warned of from one value on, and again only after it fell below another."""

    figure: str
    warn_percent: float
    recovered_percent: float
    text: str


RULES = (
    Rule("memory_percent", 90, 80, "Memory is scarce: CellProfiler may be killed for it."),
    Rule("disk_percent", 90, 85, "The disk is nearly full: jobs with large inputs will fail."),
    Rule("steal_percent", 20, 5, "The machine gets less CPU than it has: jobs take longer."),
)


def judge(sample: Sample, warned: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """The warnings that a sample is worth, given the figures that were warned of already.

    Returns:
        The warnings, and the figures that count as warned of from now on.
    """
    values = {rule: getattr(sample, rule.figure) for rule in RULES}
    new = [
        rule
        for rule, value in values.items()
        if value >= rule.warn_percent and rule.figure not in warned
    ]
    still = {rule.figure for rule, value in values.items() if value >= rule.recovered_percent}
    texts = [f"{rule.text} ({rule.figure} is {values[rule]:.0f})" for rule in new]
    return texts, (warned & still) | {rule.figure for rule in new}


class Meter:
    """Takes samples; rates are means since the sample before."""

    def __init__(self, folder: Path, cgroup: Path = Path("/sys/fs/cgroup")) -> None:
        """Start measuring.

        Args:
            folder: Where the jobs work, on the disk that is looked at.
            cgroup: Where the container sees its control group.
        """
        self._folder = folder
        self._cgroup = cgroup
        self._before = self._counters()

    def sample(self) -> Sample:
        """Look at the machine."""
        before, now = self._before, self._counters()
        self._before = now
        seconds = max(now["at"] - before["at"], 1e-3)
        passed = {name: max(now[name] - before[name], 0.0) for name in now}
        cpu = passed["busy"] + passed["idle"]
        used, limit = memory(self._cgroup)
        disk = shutil.disk_usage(self._folder)
        return Sample(
            seconds=seconds,
            cpu_percent=100 * passed["busy"] / cpu if cpu else 0.0,
            steal_percent=100 * passed["steal"] / cpu if cpu else 0.0,
            memory_mb=used / _MB,
            memory_limit_mb=limit / _MB,
            disk_free_mb=disk.free / _MB,
            disk_mb=disk.total / _MB,
            read_mb_s=passed["read"] / _MB / seconds,
            written_mb_s=passed["written"] / _MB / seconds,
            received_mb_s=passed["received"] / _MB / seconds,
            sent_mb_s=passed["sent"] / _MB / seconds,
        )

    def _counters(self) -> dict[str, float]:
        cpu, disk, network = psutil.cpu_times(), psutil.disk_io_counters(), psutil.net_io_counters()
        idle = cpu.idle + getattr(cpu, "iowait", 0.0)
        # The time of guests is counted in user and nice already ("proc_stat", Linux).
        guests = getattr(cpu, "guest", 0.0) + getattr(cpu, "guest_nice", 0.0)
        return {
            "at": time.monotonic(),
            "idle": idle,
            "busy": sum(cpu) - guests - idle,
            "steal": getattr(cpu, "steal", 0.0),
            "read": disk.read_bytes if disk else 0,
            "written": disk.write_bytes if disk else 0,
            "received": network.bytes_recv,
            "sent": network.bytes_sent,
        }


def memory(cgroup: Path) -> tuple[float, float]:
    """Bytes of memory in use and their limit: the container's, where it has one, else all.

    What the kernel keeps of files and would give up at once does not count as in use.
    """
    whole = psutil.virtual_memory()
    for limit, used, inactive in _CGROUPS:
        try:
            bound = int((cgroup / limit).read_text())
            held = int((cgroup / used).read_text())
            cached = _field((cgroup / limit).with_name("memory.stat"), inactive)
        except (OSError, ValueError):  # another version, or "max": no limit
            continue
        if bound < whole.total:  # version 1 writes an enormous number for none
            return max(held - cached, 0), bound
    return whole.total - whole.available, whole.total


def _field(path: Path, name: str) -> int:
    words = dict(line.split() for line in path.read_text().splitlines())
    return int(words[name]) if name in words else 0


def watch(folder: Path, seconds: float = SECONDS) -> threading.Event:
    """Report from now on, in a thread that ends with the process.

    Args:
        folder: Where the jobs work.
        seconds: Between two samples, in seconds.

    Returns:
        Set, it ends the thread.
    """
    over = threading.Event()
    args = (folder, seconds, over)
    threading.Thread(target=_watch, args=args, name="metrics", daemon=True).start()
    return over


def _watch(folder: Path, seconds: float, over: threading.Event) -> None:
    warned, failed = frozenset[str](), False
    meter: Meter | None = None
    while not over.is_set():
        try:
            sample = meter.sample() if meter is not None else None
            meter = meter or Meter(folder)
        except (OSError, psutil.Error) as error:
            if not failed:
                log.warning("The machine cannot be measured: %s", error)
            sample, failed = None, True
        if sample is not None:
            failed = False
            figures = {name: round(value, 1) for name, value in asdict(sample).items()}
            machine.info("%s", json.dumps({"machine": figures}))
            texts, warned = judge(sample, warned)
            for text in texts:
                log.warning("%s", text)
        over.wait(seconds)
