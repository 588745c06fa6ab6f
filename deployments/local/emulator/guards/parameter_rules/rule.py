"""The result of a rule."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RuleViolation:
    """A broken rule.

    Attributes:
        code: The error code in the API reference.
        text: The message.
    """

    code: str
    text: str


Rule = Callable[[Mapping[str, Any]], Iterator[RuleViolation]]
