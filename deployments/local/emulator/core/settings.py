"""What the emulator is told when it is started."""

from dataclasses import dataclass, field
from pathlib import Path

from deployments.local.emulator.core.chaos_switches import Chaos

REQUESTS_NAME = "requests.jsonl"  # the record of requests, in the root
ACCOUNT_ID = "123456789012"
DEFAULT_CONTAINER_COMMAND = ("-m", "dcp_worker")


@dataclass(frozen=True)
class Settings:
    """Settings of one emulator; they do not change while it runs.

    Attributes:
        root: Folder below which every container gets a folder of its own.
        worker_python: Interpreter that stands for the container image.
        container_command: Arguments of the interpreter: the image's command.
        boot_seconds: From the launch of an instance to its ECS registration, in seconds.
        tick_seconds: Longest time between two looks at what is and what should be, in seconds.
        notice_seconds: From a Spot interruption notice to the end of the instance, in seconds
            (120 on AWS: "Spot Instance interruption notices" in the EC2 User Guide).
        metric_seconds: Between two measurements of the queues, in seconds.
        shutdown_seconds: What containers get to stop when the emulator ends, in seconds.
        retry_seconds: How long a fleet does not try a pool again that gave it no machine, in
            seconds ("at least 13 minutes" on AWS, as a fleet's history tells).
        terminated_seconds: How long a terminated instance is still described, in seconds (about an
            hour on AWS: "Terminate Amazon EC2 instances" in the EC2 User Guide).
        export_seconds: How long an export of logs takes, in seconds; there is one at a time.
        deleted_seconds: How long the name of a deleted queue cannot be used again, in seconds (60
            on AWS: CreateQueue in the Amazon SQS API Reference).
        speed: How many seconds of AWS's long waits pass in a second: periods of alarms, termination
            delays of replaced machines, rates of schedules, sessions of assumed roles.
        chaos: What goes wrong at first; it can be changed at the control address.
        access_key: The only access key id that is accepted (besides those handed out by the
            instance and task credential services); empty: any.
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
