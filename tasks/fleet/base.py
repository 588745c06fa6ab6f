"""The interface of both kinds of fleet, and their history."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

# Tags that store a fleet's on-demand part, so that every resize can keep it.
BASE_TAG, SHARE_TAG = "dcp:on_demand_base", "dcp:on_demand_share"


@dataclass(frozen=True)
class FleetEvent:
    """An event in a fleet's history.

    Attributes:
        at: Time of the event.
        error: Whether EC2 calls it an error.
        subtype: Such as `spotFleetRequestConfigurationInvalid` (EC2 API, EventInformation).
        text: EC2's description.
    """

    at: datetime
    error: bool
    subtype: str
    text: str

    @property
    def message(self) -> str:
        """Its subtype and text."""
        return ": ".join(filter(None, (self.subtype, self.text)))


class Fleet(Protocol):
    """A request for machines that AWS keeps at its target capacity."""

    @property
    def id(self) -> str:
        """Its id in AWS."""

    def resize(self, machines: int) -> None:
        """Set the target capacity; does not terminate surplus machines."""

    def target(self) -> int:
        """Target capacity; 0 if the fleet is cancelled."""

    def machines(self) -> list[str]:
        """The ids of the fleet's current instances."""

    def events(self, since: datetime) -> Iterator[FleetEvent]:
        """The fleet's history since a time."""

    def cancel(self) -> None:
        """Cancel the request and terminate its machines; safe to repeat."""


def history(describe: Callable[..., Any], error_type: str, **request: Any) -> Iterator[FleetEvent]:
    """The events of a fleet's history. botocore has no paginators for it.

    Args:
        describe: DescribeFleetHistory or DescribeSpotFleetRequestHistory.
        error_type: The event type for errors of this kind of fleet. Both kinds also use `error`
            (EC2 User Guide, examples of "Describe your EC2 Fleet").
        request: The request's parameters.
    """
    more: dict[str, str] = {}
    while True:
        page = describe(**request, **more)
        for entry in page["HistoryRecords"]:
            event = entry["EventInformation"]
            yield FleetEvent(
                entry["Timestamp"],
                entry["EventType"] in (error_type, "error"),
                event.get("EventSubType", ""),
                event.get("EventDescription", ""),
            )
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}
