"""Remarks to the user about imported files of Distributed-CellProfiler."""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The reason for a remark; the value is the heading in the output."""

    FILL_IN = "To fill in"
    DIFFERS = "Different here"
    NO_COUNTERPART = "Not used here"


@dataclass(frozen=True)
class Remark:
    """A remark about one key of an imported file.

    Attributes:
        kind: The reason for the remark.
        place: The file, with the line if there is one.
        key: The key as the file spells it.
        text: What the key means and what to do, in sentences; never a secret.
    """

    kind: Kind
    place: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.key}: {self.text}"
