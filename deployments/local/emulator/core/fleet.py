"""EC2 Fleets and Spot Fleets: their state, and how they are kept at their target capacity.

Sources: "EC2 Fleet and Spot Fleet" in the Amazon EC2 User Guide, and the API reference of
CreateFleet, ModifyFleet, DeleteFleets, RequestSpotFleet, ModifySpotFleetRequest,
CancelSpotFleetRequests and EventInformation.
"""

import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
ID_FORMS = {
    "image_id": (
        re.compile(r"ami-([0-9a-f]{8}|[0-9a-f]{17})|resolve:ssm:\S+"),
        "InvalidAMIID.Malformed",
    ),
    "subnet_id": (re.compile(r"subnet-([0-9a-f]{8}|[0-9a-f]{17})"), "InvalidSubnetID.Malformed"),
    "security_group_ids": (
        re.compile(r"sg-([0-9a-f]{8}|[0-9a-f]{17})"),
        "InvalidGroupId.Malformed",
    ),
}


@dataclass(frozen=True)
class Flavour:
    """The different terms of EC2 Fleet and Spot Fleet for the same things."""

    gone_running: str
    gone_terminating: str
    gone: str
    tag: str


# The event types of both. For EC2 Fleet, the API's own list (FleetEventType) has others, but the
# examples in "Describe your EC2 Fleet" of the Amazon EC2 User Guide and in the AWS CLI use these.
REQUEST_CHANGE = "fleetRequestChange"
INSTANCE_CHANGE = "instanceChange"
ERROR = "error"
INFORMATION = "information"

EC2_FLEET = Flavour(
    gone_running="deleted_running",
    gone_terminating="deleted_terminating",
    gone="deleted",
    tag="aws:ec2:fleet-id",
)
SPOT_FLEET = Flavour(
    gone_running="cancelled_running",
    gone_terminating="cancelled_terminating",
    gone="cancelled",
    tag="aws:ec2spot:fleet-request-id",
)


@dataclass(frozen=True)
class LaunchSpec:
    """The specification of one instance of a fleet."""

    image_id: str
    instance_type: str
    user_data: Any = None
    subnet_id: str | None = None
    security_group_ids: tuple[str, ...] = ()
    key_name: str | None = None
    instance_profile: Mapping[str, str] | None = None
    block_devices: Sequence[Mapping[str, Any]] = ()
    public_ip: bool | None = None
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    weight: float = 1.0
    zone: str | None = None
    max_price: float | None = None

    @property
    def pool(self) -> tuple[str, str]:
        """The capacity pool: machine type and location."""
        return self.instance_type, self.subnet_id or self.zone or ""

    def error(self, known_types: Collection[str]) -> str:
        """Return why no instance can be launched from this, or an empty text.

        The emulator does not know the account's images, subnets and groups. It therefore refuses
        only malformed ids, such as placeholders in a fleet file, and instance types that
        DescribeInstanceTypes does not know.
        """
        if self.instance_type not in known_types:
            return f"InvalidInstanceType: The instance type '{self.instance_type}' does not exist"
        for name, (form, code) in ID_FORMS.items():
            value = getattr(self, name)
            for part in value if isinstance(value, tuple) else (value,):
                if part is not None and not form.fullmatch(part):
                    return f'{code}: Invalid id: "{part}"'
        return ""


@dataclass
class EmulatedFleet:
    """A fleet request and its instances.

    Attributes:
        config: The request's parameters, which describing the fleet returns.
        target: Target capacity, in the units of the launch specifications' weights.
        on_demand_target: The part of it that is not Spot.
        keeps: Whether lost instances are replaced (type `maintain`).
        terminates_excess: Whether a lowered target terminates running instances.
        instances: Weight of every live instance by its id, in the order of launch.
        on_demand: The ids of those that are not Spot.
        placed: Capacity requested so far, for a fleet of type `request`.
        retry_at: Monotonic time at which an empty pool, Spot or not, may be retried.
        troubled: Whether the last error in its history still applies.
        leaving: The instances to be replaced after a rebalance recommendation, each with the
            monotonic time of its termination, once the replacement was launched.
        rebalances: Whether Capacity Rebalancing is on.
        termination_delay: Seconds from the launch of a replacement to the termination of the old
            instance; None if the old one keeps running.
    """

    id: str
    flavour: Flavour
    config: dict[str, Any]
    specs: tuple[LaunchSpec, ...]
    target: int
    on_demand_target: int = 0
    keeps: bool = True
    diversified: bool = False
    terminates_excess: bool = True
    terminates_at_expiry: bool = False
    valid_until: datetime | None = None
    role: str | None = None
    state: str = "submitted"
    failed: bool = False
    launches: int = 0
    placed: float = 0.0
    created_at: datetime = field(default_factory=lambda: datetime.min)
    instances: dict[str, float] = field(default_factory=dict)
    on_demand: set[str] = field(default_factory=set)
    spot_requests: dict[str, str] = field(default_factory=dict)
    retry_at: dict[tuple[str, str, bool], float] = field(default_factory=dict)
    troubled: bool = False
    leaving: dict[str, float | None] = field(default_factory=dict)
    rebalances: bool = False
    termination_delay: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def fulfilled(self) -> float:
        """Capacity of the live instances."""
        return sum(self.instances.values())

    @property
    def staying(self) -> float:
        """Capacity of the live instances that are not being replaced."""
        return sum(
            self.instances[instance] for instance in self.instances if instance not in self.leaving
        )

    @property
    def fulfilled_on_demand(self) -> float:
        """Capacity of the live on-demand instances."""
        return sum(self.instances[instance] for instance in self.on_demand)

    @property
    def open(self) -> bool:
        """Whether the fleet still launches."""
        return self.state in ("submitted", "active", "modifying")

    @property
    def activity(self) -> str:
        """ActivityStatus as in DescribeFleets and DescribeSpotFleetRequests."""
        if self.failed or (self.troubled and self.shortfall()):
            return "error"
        if self.fulfilled > self.target:
            return "pending_termination" if self.terminates_excess else "fulfilled"
        return "fulfilled" if self.fulfilled >= self.target else "pending_fulfillment"

    def modify(self, time: datetime) -> None:
        """Apply changed parameters; empty pools may be retried at once."""
        self.state, self.failed, self.troubled = "modifying", False, False
        self.retry_at.clear()
        self.record(time, REQUEST_CHANGE, "modify_in_progress")

    def record(
        self, time: datetime, kind: str, sub_type: str, text: str = "", instance: str = ""
    ) -> None:
        """Add an event to the fleet's history."""
        event = {"EventSubType": sub_type}
        if text:
            event["EventDescription"] = text
        if instance:
            event["InstanceId"] = instance
        self.history.append({"Timestamp": time, "EventType": kind, "EventInformation": event})

    def usable(self, known_types: Collection[str]) -> list[LaunchSpec]:
        """Return the launch specifications without errors."""
        return [spec for spec in self.specs if not spec.error(known_types)]

    def configuration_error(self, known_types: Collection[str]) -> tuple[str, str]:
        """Return sub-type and text of an error that prevents every launch, or empty texts."""
        if self.role is not None and not ROLE_ARN.fullmatch(self.role):
            return "iamFleetRoleInvalid", f"The IAM fleet role '{self.role}' is not valid"
        if self.usable(known_types):
            return "", ""
        reasons = sorted({spec.error(known_types) for spec in self.specs})
        return "spotFleetRequestConfigurationInvalid", "; ".join(reasons)

    def shortfall(self) -> float:
        """Return the missing capacity."""
        have = self.staying if self.keeps else self.placed
        return max(0.0, self.target - have) if self.state == "active" else 0.0

    def missing(self, spot: bool) -> float:
        """Return the missing Spot or on-demand capacity."""
        missing = self.shortfall()
        on_demand = min(missing, max(0.0, self.on_demand_target - self.fulfilled_on_demand))
        return missing - on_demand if spot else on_demand

    def excess(self) -> list[str]:
        """Return the excess instances to terminate, newest first."""
        excess_ids: list[str] = []
        over = self.staying - self.target
        if self.state != "active" or not self.terminates_excess or not self.keeps:
            return excess_ids
        for instance_id in reversed(
            [instance for instance in self.instances if instance not in self.leaving]
        ):
            weight = self.instances[instance_id]
            if weight <= over:
                excess_ids.append(instance_id)
                over -= weight
        return excess_ids


def new_fleet_id() -> str:
    """Return an id for an EC2 Fleet."""
    return f"fleet-{uuid.uuid4()}"


def new_spot_fleet_id() -> str:
    """Return an id for a Spot Fleet request."""
    return f"sfr-{uuid.uuid4()}"
