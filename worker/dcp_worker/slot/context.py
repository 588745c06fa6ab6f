"""What a slot works with for as long as it lives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dcp_worker.common.cancellation import Stop
from dcp_worker.slot.health import Fitness
from dcp_worker.slot.job_timing import Pace

if TYPE_CHECKING:
    from pathlib import Path

    from dcp_worker.cellprofiler.engine import Engine
    from dcp_worker.common.aws_clients import Clients
    from dcp_worker.common.settings import Settings
    from dcp_worker.inputs.sources import Sources
    from dcp_worker.jobs.queue import Queue


@dataclass(frozen=True)
class Workplace:
    """A slot's tools, and what it has learned from its jobs.

    Attributes:
        settings: The worker's.
        clients: Of AWS.
        queue: The job queue and its dead-letter queue.
        sources: Where inputs lie.
        engine: Runs CellProfiler.
        folder: The slot's own; each job has a folder in it, and nothing else.
        plugins: Plugins directory, if any.
        instance_id: Of the machine; empty when it has none.
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
    pace: Pace = field(default_factory=Pace)
    fitness: Fitness = field(default_factory=Fitness)
