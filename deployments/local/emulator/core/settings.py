"""The emulator's start-up settings."""

from dataclasses import dataclass, field
from pathlib import Path

from deployments.local.emulator.core.chaos_switches import Chaos

REQUESTS_NAME = "requests.jsonl"  # the record of requests, in the root
ACCOUNT_ID = "123456789012"
DEFAULT_CONTAINER_COMMAND = ("-m", "dcp_worker")


@dataclass(frozen=True)
class EmulatorSettings:
    """EmulatorSettings of one emulator; they do not change while it runs.

    Attributes:
        root: Folder in which every container gets its own folder.
        worker_python: Interpreter that stands in for the container image.
        container_command: Arguments of the interpreter: the image's command.
        boot_seconds: Time from the launch of an instance to its ECS registration, in seconds.
        tick_seconds: Maximum interval of the reconcile loop, in seconds.
        notice_seconds: Time from a Spot interruption notice to the termination of the instance, in
            seconds (120 on AWS: "Spot Instance interruption notices" in the EC2 User Guide).
        metric_seconds: Interval between measurements of the queues, in seconds.
        shutdown_seconds: Time for containers to stop when the emulator ends, in seconds.
        retry_seconds: Time before a fleet retries an empty pool, in seconds ("at least 13 minutes"
            in a fleet's history on AWS).
        terminated_seconds: Time for which a terminated instance is described, in seconds (about an
            hour on AWS: "Terminate Amazon EC2 instances" in the EC2 User Guide).
        export_seconds: Duration of a log export, in seconds; only one runs at a time.
        deleted_seconds: Time before the name of a deleted queue can be reused, in seconds (60 on
            AWS: CreateQueue in the Amazon SQS API Reference).
        speed: Factor by which AWS's long waits are shortened: periods of alarms, termination
            delays of replaced machines, rates of schedules, sessions of assumed roles.
        chaos: Faults to inject at the start; the control address can change them.
        access_key: The only accepted access key id (besides those issued by the instance and task
            credential services); empty: any.
    """

    root: Path
    worker_python: Path
    container_command: tuple[str, ...] = DEFAULT_CONTAINER_COMMAND
    boot_seconds: float = 1.0
    tick_seconds: float = 0.3
    notice_seconds: float = 120.0
    metric_seconds: float = 60.0
    shutdown_seconds: float = 5.0
    retry_seconds: float = 2.0
    terminated_seconds: float = 3600.0
    export_seconds: float = 0.0
    deleted_seconds: float = 0.0
    speed: float = 1.0
    chaos: Chaos = field(default_factory=Chaos)
    access_key: str = ""
