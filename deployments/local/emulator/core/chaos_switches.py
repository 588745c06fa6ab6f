"""What goes wrong on the emulator, each thing a switch: the table in docs/local.md.

Nothing does unless it is switched on. What happens to the n-th machine, container or request is a
pure function of the seed and n, so that a run with the same seed meets the same.
"""

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from random import Random
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

EVERYWHERE = "*"
DAY_SECONDS = 86_400.0


def _names(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def _by_name(bare: Any) -> BeforeValidator:
    """Reads `NAME:NUMBER`, one or several; a bare number is for all, or a bare name at `bare`."""

    def read(given: Any) -> Any:
        if isinstance(given, Mapping):
            return given
        found: dict[str, Any] = {}
        for one in given if isinstance(given, list | tuple) else (given,):
            name, _, number = str(one).rpartition(":")
            if name:
                found[name] = number
            elif bare is None:
                found[EVERYWHERE] = number
            else:
                found[number] = bare
        return found

    return BeforeValidator(read)


Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
PerDay = Annotated[float, Field(ge=0, le=1_000_000)]
Usd = Annotated[float, Field(ge=0, le=1_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


def _named(what: str, number: str) -> Any:
    return Field(json_schema_extra={"allowed": f"{number}, or {what}:NUMBER"})


Names = Annotated[
    tuple[str, ...], BeforeValidator(_names), Field(json_schema_extra={"allowed": "names"})
]
Lateness = Annotated[
    Mapping[str, Seconds], _by_name(None), _named("POOL", "a number from 0 to 86400")
]
Counts = Annotated[
    Mapping[str, Count], _by_name(None), _named("POOL", "a whole number from 0 to 1000000")
]
Prices = Annotated[Mapping[str, Usd], _by_name(None), _named("POOL", "a number from 0 to 1000")]
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
    """All switches. A pool is a machine type, a zone, or `TYPE/ZONE`, with `*` as in file names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, description="What happens to which machine, container or request.")
    errors: Share = Field(
        default=0.0,
        description="Share of API requests that fail: throttled, 5xx, connection reset; some are "
        "carried out all the same.",
    )

    late: Lateness = Field(
        default={},
        description="Seconds from a fleet's request until a pool has capacity; `POOL:SECONDS`.",
    )
    at_most: Counts = Field(
        default={},
        description="Machines that each machine type of a pool has at most; `POOL:MACHINES`.",
    )
    no_capacity: Names = Field(default=(), description="Pools without capacity.")
    spot_price: Prices = Field(
        default={}, description="Spot price of a pool now, USD an hour; `POOL:USD`."
    )
    vcpus: Count | None = Field(
        default=None, description="vCPUs that the account's quotas leave, Spot and on demand each."
    )

    launch_errors: Shares = Field(
        default={},
        description="Share of machines that are terminated while pending, by the code of their "
        "state reason, such as `Client.VolumeLimitExceeded`; `CODE:SHARE`.",
    )
    refused_launches: Shares = Field(
        default={},
        description="Share of launches that EC2 refuses its fleets, by error code, such as "
        "`InvalidKeyPair.NotFound`; `CODE:SHARE`.",
    )
    unregistered: Share = Field(
        default=0.0, description="Share of machines that never register with ECS: no route out."
    )
    register_late: Seconds = Field(
        default=0.0, description="Seconds that machines register later than they boot."
    )
    disconnects: PerDay = Field(
        default=0.0,
        description="Losses of its ECS agent's connection, a machine and day; for good.",
    )

    unpullable: Names = Field(
        default=(), description="Names of images that cannot be pulled, with `*`."
    )
    exits: ExitCodes = Field(
        default={}, description="Share of containers that exit at once, by exit code; `CODE:SHARE`."
    )
    kills: PerDay = Field(
        default=0.0, description="Containers killed (SIGKILL), a container and day."
    )
    oom: PerDay = Field(
        default=0.0, description="Containers killed for memory, a container and day."
    )

    interruptions: PerDay = Field(
        default=0.0, description="Spot interruptions with notice, a machine and day."
    )
    rebalance: Seconds | None = Field(
        default=None,
        description="Seconds by which a rebalance recommendation precedes those notices.",
    )
    hangs: PerDay = Field(
        default=0.0,
        description="Machines whose containers stand still for good (SIGSTOP), a machine and day.",
    )

    count_lag: Seconds = Field(
        default=0.0, description="Seconds by which the counts of queues lag behind."
    )
    low_counts: Share = Field(
        default=0.0,
        description="Share of looks at the counts of a queue that miss some of its messages.",
    )
    empty_receives: Share = Field(
        default=0.0, description="Share of short polls that find nothing though messages are there."
    )
    duplicates: Share = Field(
        default=0.0, description="Share of received messages delivered once more."
    )

    def changed(self, values: Mapping[str, Any]) -> "Chaos":
        """These switches with other values of some.

        Raises:
            pydantic.ValidationError: There is no such switch, or its value is not allowed.
        """
        return Chaos.model_validate({**self.model_dump(), **values})

    def roll(self, switch: str, number: int) -> float:
        """The dice of the n-th thing that a switch can happen to, in [0, 1)."""
        return Random(f"{self.seed}/{switch}/{number}").random()

    def happens(self, switch: str, number: int, share: float | None = None) -> bool:
        """Whether a switch's thing happens to the n-th; the share is the switch's own if None."""
        return self.roll(switch, number) < (getattr(self, switch) if share is None else share)

    def seconds_until(self, switch: str, number: int) -> float:
        """Seconds until a thing with a rate happens to the n-th: exponentially distributed."""
        per_day: float = getattr(self, switch)
        if not per_day:
            return math.inf
        return -math.log(1.0 - self.roll(switch, number)) * DAY_SECONDS / per_day

    def chosen(self, switch: str, number: int) -> str:
        """The name that happens to the n-th, of a switch with shares by name; "" for none."""
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
