"""What a rule is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Broken:
    """What a rule found.

    Attributes:
        code: The error's code, as the API reference has it.
        text: The message.
    """

    code: str
    text: str


Rule = Callable[[Mapping[str, Any]], Iterator[Broken]]
