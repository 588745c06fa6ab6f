"""Samples the machine's CPU, memory, disk and network every 30 s into the instance's log.

Each sample is one line of JSON, which CloudWatch Logs Insights parses automatically.
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
# Version 2 (Amazon Linux 2023) and version 1 ("Memory Resource Controller", Linux).
_CGROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True)
class Sample:
    """One sample of the machine.

    Attributes:
        seconds: Time over which the rates are averaged.
        cpu_percent: Use of all CPUs together.
        steal_percent: CPU time that the machine was entitled to but did not get, because its
            credits are used up or its host is crowded.
        memory_mb: Memory in use and not reclaimable, of the container if it has a limit.
        memory_limit_mb: The container's limit, else the machine's memory.
        disk_free_mb: Free space on the disk of the jobs.
        disk_mb: Size of that disk.
        read_mb_s: MB per second read from disks.
        written_mb_s: MB per second written to disks.
        received_mb_s: MB per second received from the network.
        sent_mb_s: MB per second sent to the network.
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
        """Memory in use, in percent of its limit."""
        return 100 * self.memory_mb / self.memory_limit_mb if self.memory_limit_mb else 0.0

    @property
    def disk_percent(self) -> float:
        """Disk in use, in percent of its size."""
        return 100 * (1 - self.disk_free_mb / self.disk_mb) if self.disk_mb else 0.0


@dataclass(frozen=True)
class WarningThreshold:
    """A figure with a warning threshold, and the lower value that re-arms the warning."""

    figure: str
    warn_percent: float
    recovered_percent: float
    text: str


THRESHOLDS = (
    WarningThreshold("memory_percent", 90, 80, "Memory is low: the kernel may kill CellProfiler."),
    WarningThreshold(
        "disk_percent", 90, 85, "The disk is nearly full: jobs with large inputs will fail."
    ),
    WarningThreshold(
        "steal_percent", 20, 5, "The host withholds CPU from this machine: jobs take longer."
    ),
)


def new_warnings(sample: Sample, warned: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """The new warnings for a sample.

    Args:
        sample: The sample.
        warned: Figures with a warning already logged.

    Returns:
        The warnings, and the figures with a warning from now on.
    """
    values = {threshold: getattr(sample, threshold.figure) for threshold in THRESHOLDS}
    new = [
        threshold
        for threshold, value in values.items()
        if value >= threshold.warn_percent and threshold.figure not in warned
    ]
    still = {
        threshold.figure
        for threshold, value in values.items()
        if value >= threshold.recovered_percent
    }
    texts = [
        f"{threshold.text} ({threshold.figure} is {values[threshold]:.0f})" for threshold in new
    ]
    return texts, (warned & still) | {threshold.figure for threshold in new}


class Meter:
    """Takes samples; rates are means since the previous sample."""

    def __init__(self, folder: Path, cgroup: Path = Path("/sys/fs/cgroup")) -> None:
        """Start measuring.

        Args:
            folder: Folder of the jobs, on the disk to measure.
            cgroup: Control group of the container.
        """
        self._folder = folder
        self._cgroup = cgroup
        self._before = self._counters()

    def sample(self) -> Sample:
        """Take a sample."""
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
        # user and nice already include the time of guests ("proc_stat", Linux).
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
    """Bytes of memory in use and their limit: of the container if it has one, else of the machine.

    Page cache that the kernel can drop at once does not count as in use.
    """
    whole = psutil.virtual_memory()
    for limit, used, inactive in _CGROUPS:
        try:
            bound = int((cgroup / limit).read_text())
            held = int((cgroup / used).read_text())
            cached = _field((cgroup / limit).with_name("memory.stat"), inactive)
        except (OSError, ValueError):  # another version, or "max": no limit
            continue
        if bound < whole.total:  # without a limit, version 1 has an enormous number
            return max(held - cached, 0), bound
    return whole.total - whole.available, whole.total


def _field(path: Path, name: str) -> int:
    words = dict(line.split() for line in path.read_text().splitlines())
    return int(words[name]) if name in words else 0


def watch(folder: Path, seconds: float = SECONDS) -> threading.Event:
    """Start a daemon thread that logs samples.

    Args:
        folder: Folder of the jobs.
        seconds: Interval between samples.

    Returns:
        An event; set it to end the thread.
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
                log.warning("Could not measure the machine: %s", error)
            sample, failed = None, True
        if sample is not None:
            failed = False
            figures = {name: round(value, 1) for name, value in asdict(sample).items()}
            machine.info("%s", json.dumps({"machine": figures}))
            texts, warned = new_warnings(sample, warned)
            for text in texts:
                log.warning("%s", text)
        over.wait(seconds)
