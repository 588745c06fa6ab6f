"""The emulator's state beside moto's: one lock, one clock, regions, recorded events."""

import threading
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ecs.models import ecs_backends
from moto.logs.models import logs_backends

from deployments.local.emulator.core.account_limits import AccountLimits
from deployments.local.emulator.core.chaos_switches import Chaos
from deployments.local.emulator.core.container_process import ContainerProcess
from deployments.local.emulator.core.fleet import EmulatedFleet
from deployments.local.emulator.core.request_log import Recorder
from deployments.local.emulator.core.settings import ACCOUNT_ID, EmulatorSettings


def now() -> datetime:
    """Return the time as UTC, without a time zone."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass
class EmulatedMachine:
    """The emulator's state of an instance beside moto's record of it.

    Attributes:
        instance: moto's record, which DescribeInstances shows.
        boots_at: Monotonic time at which its boot finishes, in seconds.
        booted: Whether the user data has run.
        ends_at: Monotonic time of a Spot interruption; None without a notice.
        interruption_at: The same as wall-clock time, as in the instance metadata.
        drains_on_notice: ECS_ENABLE_SPOT_INSTANCE_DRAINING of its ECS agent.
        number: Sequence number of the machine in the account.
        launched_at: Monotonic time of its launch, in seconds.
        ended_at: Monotonic time at which its termination was noticed, in seconds.
        fails: Code of the state reason if its launch fails; empty otherwise.
        recommended_at: Time of the rebalance recommendation, in wall-clock time.
        hung: Whether all its containers hang.
        measured_at: Monotonic time of its last measurement, in seconds.
        cpu: Its CPU utilization in percent, one datapoint per five minutes, oldest first.
    """

    instance: Any
    boots_at: float
    booted: bool = False
    ends_at: float | None = None
    interruption_at: datetime | None = None
    drains_on_notice: bool = False
    number: int = 0
    launched_at: float = field(default_factory=time.monotonic)
    ended_at: float | None = None
    fails: str = ""
    recommended_at: datetime | None = None
    hung: bool = False
    measured_at: float | None = None
    cpu: list[float] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether the instance is neither terminated nor stopped."""
        return self.instance.state in ("pending", "running")


@dataclass
class ContainerInstance:
    """A machine in its ECS cluster; CPU in units (1024 per vCPU), memory in MiB.

    Attributes:
        connected: Whether its agent is connected to ECS.
    """

    arn: str
    cluster: str
    instance_id: str
    cpu: int
    memory: int
    attributes: dict[str, str]
    status: str = "ACTIVE"
    registered_at: datetime = field(default_factory=now)
    connected: bool = True


@dataclass
class Task:
    """An ECS task with its one container.

    Attributes:
        host: The container instance that it was placed on.
        number: Sequence number of the started task in the account.
        container_reason: The container's `reason` in DescribeTasks.
        frozen: Whether the container is stopped by SIGSTOP.
        cpu_used: CPU seconds of the container at the last measurement.
    """

    arn: str
    cluster_arn: str
    definition: Any
    container_instance_arn: str
    group: str
    started_by: str
    host: ContainerInstance
    cpu: int
    memory: int
    tags: list[dict[str, str]] = field(default_factory=list)
    container: ContainerProcess | None = None
    last_status: str = "PENDING"
    desired_status: str = "RUNNING"
    created_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    stopped_at: datetime | None = None
    stop_code: str = ""
    stopped_reason: str = ""
    exit_code: int | None = None
    kill_at: float | None = None
    protected_until: datetime | None = None
    number: int = 0
    container_reason: str = ""
    frozen: bool = False
    cpu_used: float = 0.0

    @property
    def id(self) -> str:
        """The last part of the ARN."""
        return self.arn.rpartition("/")[2]

    @property
    def task_arn(self) -> str:
        """The ARN, under the name that moto's tagging uses."""
        return self.arn

    @property
    def container_definition(self) -> dict[str, Any]:
        """The only container of the task definition."""
        definition: dict[str, Any] = self.definition.container_definitions[0]
        return definition

    @property
    def protected(self) -> bool:
        """Whether the task is protected from scale-in."""
        return self.protected_until is not None and self.protected_until > now()


@dataclass
class Service:
    """An ECS service of launch type EC2 with the rolling-update scheduler."""

    arn: str
    name: str
    cluster_arn: str
    task_definition_arn: str
    desired_count: int
    request: dict[str, Any]
    tags: list[dict[str, str]] = field(default_factory=list)
    status: str = "ACTIVE"
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=100))
    created_at: datetime = field(default_factory=now)
    deployment_id: str = field(default_factory=lambda: f"ecs-svc/{uuid.uuid4().int % 10**19}")
    failures: int = 0
    next_start: float = 0.0
    unplaced: str = ""
    steady: bool = False

    @property
    def physical_resource_id(self) -> str:
        """The ARN, under the name that moto's tagging uses."""
        return self.arn

    @property
    def group(self) -> str:
        """The task group of its tasks."""
        return f"service:{self.name}"

    def add_event(self, text: str) -> None:
        """Record a service event, newest first, as in DescribeServices."""
        message = f"(service {self.name}) {text}"
        self.events.appendleft({"id": str(uuid.uuid4()), "createdAt": now(), "message": message})


@dataclass
class Region:
    """One region: moto's backends and the emulator's additions."""

    name: str
    fleets: dict[str, EmulatedFleet] = field(default_factory=dict)
    machines: dict[str, EmulatedMachine] = field(default_factory=dict)
    container_instances: dict[str, ContainerInstance] = field(default_factory=dict)
    subnets: dict[str, int] = field(default_factory=dict)
    measures_at: float = 0.0

    @property
    def ec2(self) -> Any:
        """moto's EC2."""
        return ec2_backends[ACCOUNT_ID][self.name]

    @property
    def ecs(self) -> Any:
        """moto's ECS; its services and tasks are this module's `Service` and `Task`."""
        return ecs_backends[ACCOUNT_ID][self.name]

    @property
    def logs(self) -> Any:
        """moto's CloudWatch Logs."""
        return logs_backends[ACCOUNT_ID][self.name]

    def arn(self, kind: str, *parts: str) -> str:
        """Return the ARN of an ECS resource of this region."""
        return f"arn:aws:ecs:{self.name}:{ACCOUNT_ID}:{kind}/{'/'.join(parts)}"

    def services(self, cluster: str) -> list[Service]:
        """Return the services of a cluster, including deleted ones."""
        prefix = f"{cluster}:"
        return [service for key, service in self.ecs.services.items() if key.startswith(prefix)]

    def tasks(self, cluster: str | None = None) -> list[Task]:
        """Return the tasks of one or all clusters, including stopped ones."""
        tasks = self.ecs.tasks
        names = list(tasks) if cluster is None else [cluster]
        return [task for name in names for task in tasks.get(name, {}).values()]

    def tasks_on(self, container_instance_arn: str) -> list[Task]:
        """Return the tasks that reserve resources of a container instance."""
        return [
            task
            for task in self.tasks()
            if task.container_instance_arn == container_instance_arn
            and task.last_status != "STOPPED"
        ]


class EmulatorState:
    """The emulated account."""

    def __init__(self, settings: EmulatorSettings, endpoint_url: str) -> None:
        self.settings = settings
        self.endpoint_url = endpoint_url
        self.lock = threading.RLock()
        self.wake = threading.Event()
        self.regions: dict[str, Region] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=10_000)
        self.credentials: dict[str, dict[str, str]] = {}
        self.account = AccountLimits()
        self.recorder = Recorder(settings.root)
        # The next due time of each: by the monotonic clock, and in the schedule's own time.
        self.schedules: dict[str, tuple[float, float]] = {}
        self.chaos: Chaos = settings.chaos
        self.chaos_at = now()
        # A separate lock, because receives of messages must not wait for the reconcile loop.
        self._numbers_lock = threading.Lock()
        self._numbers: Counter[str] = Counter()

    def region(self, name: str) -> Region:
        """Return a region, known or new."""
        with self.lock:
            return self.regions.setdefault(name, Region(name))

    def owner_of(self, key: str) -> tuple[str, str] | None:
        """Return the owner of an access key (machine, container or function), and its role.

        None for a key that was not issued here, which belongs to the account's caller.
        """
        for owner, credentials in list(self.credentials.items()):
            if credentials["AccessKeyId"] == key:
                return owner, credentials["RoleArn"]
        return None

    def record_event(self, kind: str, **details: Any) -> None:
        """Record an event of a machine or task for the control address."""
        self.events.append({"time": time.time(), "kind": kind, **details})

    def number(self, what: str) -> int:
        """The next number in a named sequence: 0, 1, 2, and so on."""
        with self._numbers_lock:
            number = self._numbers[what]
            self._numbers[what] += 1
            return number

    def happens(self, switch: str) -> bool:
        """Whether the fault of a switch with a share happens this time."""
        return bool(getattr(self.chaos, switch)) and self.chaos.happens(switch, self.number(switch))

    def fault_name(self, switch: str) -> str:
        """The name that a switch with shares by name selects this time; "" for none."""
        return self.chaos.fault_name(switch, self.number(switch))

    def find_task(self, task_id: str) -> tuple[Region, Task] | None:
        """Return the region and the task with this id."""
        for region in self.regions.values():
            for task in region.tasks():
                if task.id == task_id:
                    return region, task
        return None

    def find_machine(self, instance_id: str) -> tuple[Region, EmulatedMachine] | None:
        """Return the region and the machine with this instance id."""
        for region in self.regions.values():
            if instance_id in region.machines:
                return region, region.machines[instance_id]
        return None
