"""The interface of an account's resources: check, create, repair and remove."""

from dataclasses import dataclass
from typing import Literal, Protocol

Status = Literal["ok", "missing", "differs", "not ours"]
TAG = "dcp:account"  # on all resources that support tags; the value is the set-up's name


@dataclass(frozen=True)
class ResourceState:
    """The state of a resource.

    Attributes:
        status: `ok`, `missing`, `differs`, or `not ours`: dcp did not create it, and neither
            changes nor removes it.
        detail: What differs.
        usable: Whether runs can use it as it is.
    """

    status: Status
    detail: str = ""

    @property
    def usable(self) -> bool:
        """Whether runs can use it as it is."""
        return self.status == "ok" or (self.status == "not ours" and not self.detail)

    def __str__(self) -> str:
        return f"{self.status} ({self.detail})" if self.detail else self.status


UP_TO_DATE = ResourceState("ok")
MISSING = ResourceState("missing")
POLICY_DIFFERS = ResourceState("differs", "its policy")
USED_UNCHANGED = ResourceState("not ours")
"""Created by AWS or somebody else, and used unchanged."""
NAME_TAKEN = ResourceState("not ours", "dcp did not create the resource with this name")


class AccountResource(Protocol):
    """One resource in AWS, or a few that belong together."""

    @property
    def description(self) -> str:
        """Description for people."""

    def check(self) -> ResourceState:
        """Its current state; changes nothing."""

    def ensure(self, before: ResourceState) -> None:
        """Create or repair it, given its current state. Not called if it is not ours."""

    def remove(self) -> None:
        """Remove it if dcp created it; otherwise does nothing."""
