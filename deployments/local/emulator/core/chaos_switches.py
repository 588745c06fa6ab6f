"""Faults that the emulator injects, one per switch: the table in docs/local.md.

All are off by default. The fault of the n-th machine, container or request is a pure function of
the seed and n, so that the same seed repeats the same faults.
"""

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from random import Random
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

EVERYWHERE = "*"
DAY_SECONDS = 86_400.0


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _by_name(bare: Any) -> BeforeValidator:
    """Parses `NAME:NUMBER` items; a bare number applies to all, a bare name gets `bare`."""

    def read(value: Any) -> Any:
        if isinstance(value, Mapping):
            return value
        numbers: dict[str, Any] = {}
        for text in value if isinstance(value, list | tuple) else (value,):
            name, _, number = str(text).rpartition(":")
            if name:
                numbers[name] = number
            elif bare is None:
                numbers[EVERYWHERE] = number
            else:
                numbers[number] = bare
        return numbers

    return BeforeValidator(read)


Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
PerDay = Annotated[float, Field(ge=0, le=1_000_000)]
Usd = Annotated[float, Field(ge=0, le=1_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


def _named_number(what: str, number: str) -> Any:
    return Field(json_schema_extra={"allowed": f"{number}, or {what}:NUMBER"})


Names = Annotated[
    tuple[str, ...], BeforeValidator(_names), Field(json_schema_extra={"allowed": "names"})
]
Lateness = Annotated[
    Mapping[str, Seconds], _by_name(None), _named_number("POOL", "a number from 0 to 86400")
]
Counts = Annotated[
    Mapping[str, Count], _by_name(None), _named_number("POOL", "a whole number from 0 to 1000000")
]
Prices = Annotated[
    Mapping[str, Usd], _by_name(None), _named_number("POOL", "a number from 0 to 1000")
]
Shares = Annotated[
    Mapping[str, Share],
    _by_name(1.0),
    Field(json_schema_extra={"allowed": "CODE, or CODE:NUMBER with a number from 0 to 1"}),
]
ExitCodes = Annotated[
    Mapping[Annotated[int, Field(ge=0, le=255)], Share],
    _by_name(1.0),
    Field(json_schema_extra={"allowed": "0 to 255, or CODE:NUMBER with a number from 0 to 1"}),
]


class Chaos(BaseModel):
    """All switches. A pool is a machine type, a zone, or `TYPE/ZONE`; `*` is a wildcard."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, description="Decides which machine, container or request fails.")
    errors: Share = Field(
        default=0.0,
        description="Share of API requests that fail (throttled, 5xx, connection reset); some are "
        "still carried out.",
    )

    late: Lateness = Field(
        default={},
        description="Seconds after a fleet request until a pool has capacity; `POOL:SECONDS`.",
    )
    at_most: Counts = Field(
        default={},
        description="Maximum machines of each machine type in a pool; `POOL:MACHINES`.",
    )
    no_capacity: Names = Field(default=(), description="Pools without capacity.")
    spot_price: Prices = Field(
        default={}, description="Current Spot price of a pool, USD per hour; `POOL:USD`."
    )
    vcpus: Count | None = Field(
        default=None, description="The account's vCPU quota, for Spot and on-demand each."
    )

    launch_errors: Shares = Field(
        default={},
        description="Share of machines that are terminated while pending, by the code of the state "
        "reason, such as `Client.VolumeLimitExceeded`; `CODE:SHARE`.",
    )
    refused_launches: Shares = Field(
        default={},
        description="Share of fleet launches that EC2 refuses, by error code, such as "
        "`InvalidKeyPair.NotFound`; `CODE:SHARE`.",
    )
    unregistered: Share = Field(
        default=0.0, description="Share of machines that never register with ECS (no network)."
    )
    register_late: Seconds = Field(
        default=0.0, description="Delay between boot and registration of a machine, in seconds."
    )
    disconnects: PerDay = Field(
        default=0.0,
        description="Permanent connection losses of the ECS agent, per machine and day.",
    )

    unpullable: Names = Field(
        default=(), description="Names of images that cannot be pulled; `*` is a wildcard."
    )
    exits: ExitCodes = Field(
        default={}, description="Share of containers that exit at once, by exit code; `CODE:SHARE`."
    )
    kills: PerDay = Field(default=0.0, description="Kills (SIGKILL), per container and day.")
    oom: PerDay = Field(default=0.0, description="Out-of-memory kills, per container and day.")

    interruptions: PerDay = Field(
        default=0.0, description="Spot interruptions with notice, per machine and day."
    )
    rebalance: Seconds | None = Field(
        default=None,
        description="Seconds between a rebalance recommendation and the interruption notice.",
    )
    hangs: PerDay = Field(
        default=0.0,
        description="Permanent hangs of all containers (SIGSTOP), per machine and day.",
    )

    count_lag: Seconds = Field(
        default=0.0, description="Delay of the queues' message counts, in seconds."
    )
    low_counts: Share = Field(
        default=0.0,
        description="Share of queries of a queue's counts that miss some messages.",
    )
    empty_receives: Share = Field(
        default=0.0, description="Share of short polls that return nothing from a non-empty queue."
    )
    duplicates: Share = Field(
        default=0.0, description="Share of received messages that are delivered again."
    )

    def changed(self, values: Mapping[str, Any]) -> "Chaos":
        """A copy with some switches changed.

        Raises:
            pydantic.ValidationError: A switch is unknown, or its value is not allowed.
        """
        return Chaos.model_validate({**self.model_dump(), **values})

    def roll(self, switch: str, number: int) -> float:
        """The random number of a switch for the n-th object, in [0, 1)."""
        return Random(f"{self.seed}/{switch}/{number}").random()

    def happens(self, switch: str, number: int, share: float | None = None) -> bool:
        """Whether a switch's fault hits the n-th object; a share of None is the switch's own."""
        return self.roll(switch, number) < (getattr(self, switch) if share is None else share)

    def seconds_until(self, switch: str, number: int) -> float:
        """Seconds until a fault with a rate hits the n-th object: exponentially distributed."""
        per_day: float = getattr(self, switch)
        if not per_day:
            return math.inf
        return -math.log(1.0 - self.roll(switch, number)) * DAY_SECONDS / per_day

    def fault_name(self, switch: str, number: int) -> str:
        """The name that hits the n-th object, for a switch with shares by name; "" for none."""
        shares: Mapping[Any, float] = getattr(self, switch)
        rolled = self.roll(switch, number)
        for name, share in shares.items():
            if rolled < share:
                return str(name)
            rolled -= share
        return ""


def in_pool(pattern: str, machine_type: str, zone: str) -> bool:
    """Whether a machine type in a zone belongs to a pool."""
    names = (machine_type, zone, f"{machine_type}/{zone}")
    return any(fnmatchcase(name, pattern) for name in names)
