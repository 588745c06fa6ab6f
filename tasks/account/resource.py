"""A part of dcp's set-up in an account: it can be checked, created, repaired and removed."""

from dataclasses import dataclass
from typing import Literal, Protocol

State = Literal["ok", "missing", "differs", "not ours"]
TAG = "dcp:account"  # on all resources that support tags; the value is the set-up's name


@dataclass(frozen=True)
class Look:
    """The state of a part.

    Attributes:
        state: `ok`, `missing`, `differs`, or `not ours`: dcp did not create it, and neither
            changes nor removes it.
        detail: What differs.
        usable: Whether runs can use it as it is.
    """

    state: State
    detail: str = ""

    @property
    def usable(self) -> bool:
        """Whether runs can use it as it is."""
        return self.state == "ok" or (self.state == "not ours" and not self.detail)

    def __str__(self) -> str:
        return f"{self.state} ({self.detail})" if self.detail else self.state


AS_MADE = Look("ok")
MISSING = Look("missing")
DIFFERS = Look("differs", "its policy")
USED = Look("not ours")
"""Created by AWS or somebody else, and used unchanged."""
IN_THE_WAY = Look("not ours", "dcp did not create the resource with this name")


class Part(Protocol):
    """One resource, or a few that belong together."""

    @property
    def what(self) -> str:
        """Description for people."""

    def look(self) -> Look:
        """Its current state; changes nothing."""

    def make(self, before: Look) -> None:
        """Create or repair it. Not called if it is not ours."""

    def remove(self) -> None:
        """Remove it if dcp created it; otherwise does nothing."""
