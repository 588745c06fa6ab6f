"""The context of a slot: what all its jobs share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dcp_worker.common.cancellation import Stop
from dcp_worker.slot.health import MachineHealth
from dcp_worker.slot.job_timing import JobTimes

if TYPE_CHECKING:
    from pathlib import Path

    from dcp_worker.cellprofiler.engine import Engine
    from dcp_worker.common.aws_clients import Clients
    from dcp_worker.common.settings import Settings
    from dcp_worker.inputs.sources import Sources
    from dcp_worker.jobs.queue import Queue


@dataclass(frozen=True)
class SlotContext:
    """A slot's tools, and its experience from earlier jobs.

    Attributes:
        settings: Settings of the worker.
        clients: AWS clients.
        queue: The job queue and its dead-letter queue.
        sources: Locations of inputs.
        engine: Runs CellProfiler.
        folder: The slot's own folder; it contains one folder per job, nothing else.
        plugins: Plugins directory, if any.
        instance_id: Id of the machine; empty without one.
    """

    settings: Settings
    clients: Clients
    queue: Queue
    sources: Sources
    engine: Engine
    folder: Path
    plugins: Path | None
    instance_id: str
    stop: Stop = field(default_factory=Stop)
    job_times: JobTimes = field(default_factory=JobTimes)
    health: MachineHealth = field(default_factory=MachineHealth)
