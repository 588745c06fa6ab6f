"""What somebody who brings files of Distributed-CellProfiler is told about them."""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Why something is told; the value is the heading it stands under."""

    FILL_IN = "To fill in"
    DIFFERS = "Means something else here"
    NO_COUNTERPART = "Has no counterpart here"


@dataclass(frozen=True)
class Remark:
    """One thing to know about a file that was brought.

    Attributes:
        kind: Why it is told.
        place: The file, with the line where there is one.
        key: The key as that file spells it.
        text: What it means and what to do, in sentences; never a secret.
    """

    kind: Kind
    place: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.key}: {self.text}"
