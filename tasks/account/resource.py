"""A part of what an account has for dcp: looked at, made, repaired, removed."""

from dataclasses import dataclass
from typing import Literal, Protocol

State = Literal["there", "missing", "differs", "not ours"]
TAG = "dcp:account"  # on whatever can be tagged; its value is the name of the set-up


@dataclass(frozen=True)
class Look:
    """What was found of a part.

    Attributes:
        state: `there` as it is to be, `missing`, `differs`, or `not ours`: of its name, but not
            made by dcp, so that it is neither changed nor removed.
        detail: What differs.
        usable: Whether runs can do with it as it is.
    """

    state: State
    detail: str = ""

    @property
    def usable(self) -> bool:
        """Whether runs can do with it as it is."""
        return self.state == "there" or (self.state == "not ours" and not self.detail)

    def __str__(self) -> str:
        return f"{self.state} ({self.detail})" if self.detail else self.state


AS_MADE = Look("there")
MISSING = Look("missing")
DIFFERS = Look("differs", "its policy")
USED = Look("not ours")
"""Made by AWS or by somebody else, and used as it is."""
IN_THE_WAY = Look("not ours", "something of this name was not made by dcp")


class Part(Protocol):
    """One resource, or a few that only stand together."""

    @property
    def what(self) -> str:
        """What it is, for people."""

    def look(self) -> Look:
        """How it is now; changes nothing."""

    def make(self, found: Look) -> None:
        """Make it, or make it as it is to be. Not called for what is not ours."""

    def remove(self) -> None:
        """Remove what dcp made of it; nothing happens when it is not there or not ours."""
