"""The fleet: what both kinds of it can do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

# By these tags a fleet keeps its on-demand part, whoever resizes it.
BASE_TAG, SHARE_TAG = "dcp:on_demand_base", "dcp:on_demand_share"


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

    @property
    def words(self) -> str:
        """What it says, but for when."""
        return ": ".join(filter(None, (self.subtype, self.text)))


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
