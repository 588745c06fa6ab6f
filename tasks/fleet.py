"""The fleet: what both kinds of it can do, and what its history says about it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Protocol


@dataclass(frozen=True)
class FleetEvent:
    """An event of a fleet's history.

    Attributes:
        at: When it happened.
        error: Whether EC2 calls it an error.
        subtype: Such as `spotFleetRequestConfigurationInvalid` (EC2 API, EventInformation).
        text: EC2's description.
    """

    at: datetime
    error: bool
    subtype: str
    text: str

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.subtype}: {self.text}"


class Fleet(Protocol):
    """A request for machines that AWS keeps at its target capacity."""

    @property
    def id(self) -> str:
        """The id that AWS gave it."""

    def resize(self, machines: int) -> None:
        """Ask for so many machines; those above are not terminated by this."""

    def target(self) -> int:
        """How many machines are asked for; 0 when the fleet is cancelled."""

    def machines(self) -> list[str]:
        """The ids of the instances that the fleet has now."""

    def events(self, since: datetime) -> Iterator[FleetEvent]:
        """The fleet's history."""

    def cancel(self) -> None:
        """End the request and terminate its machines; nothing happens when it has ended."""


def history(describe: Callable[..., Any], error_type: str, **request: Any) -> Iterator[FleetEvent]:
    """The events of a fleet's history, page by page: botocore has no paginators for it.

    Args:
        describe: DescribeFleetHistory or DescribeSpotFleetRequestHistory.
        error_type: The event type by which this kind of fleet tells an error; `error` is one in
            both, as the examples of "Describe your EC2 Fleet" in the EC2 User Guide show.
        request: The request's parameters.
    """
    more: dict[str, str] = {}
    while True:
        page = describe(**request, **more)
        for entry in page["HistoryRecords"]:
            what = entry["EventInformation"]
            yield FleetEvent(
                entry["Timestamp"],
                entry["EventType"] in (error_type, "error"),
                what.get("EventSubType", ""),
                what.get("EventDescription", ""),
            )
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}


class Verdict(Enum):
    """What to do about a fleet that was just requested."""

    READY = "ready"
    WAIT = "wait"
    CANCEL = "cancel"


# Errors that AWS tries again by itself and that pass when capacity or the limit allows.
CAPACITY_SUBTYPES = frozenset(
    {"allLaunchSpecsTemporarilyBlacklisted", "spotInstanceCountLimitExceeded"}
)


def judge(events: Sequence[FleetEvent], machines: int) -> tuple[Verdict, str]:
    """Decide from a fleet's history whether to go on with it.

    As in DCP, an error ends the fleet, except a single lack of capacity while machines are there.

    Args:
        events: The history so far.
        machines: Instances that the fleet has.

    Returns:
        The verdict, and the errors in words.
    """
    errors = [event for event in events if event.error]
    lacks = [event for event in errors if event.subtype in CAPACITY_SUBTYPES]
    said = "; ".join(str(event) for event in errors)
    if len(lacks) < len(errors):
        return Verdict.CANCEL, said
    if machines:
        return Verdict.READY, said
    return (Verdict.CANCEL if len(lacks) > 1 else Verdict.WAIT), said
