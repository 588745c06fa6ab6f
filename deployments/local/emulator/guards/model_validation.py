"""Checks a request's parameters against botocore's model of the operation."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "blob": (str, bytes),
    "timestamp": (int, float, str, datetime),
}
# The nearest Python equivalents of Unicode classes in the models' patterns.
CLASSES = {
    r"\w-": r"\w\-",
    r"\p{L}": r"\w",
    r"\p{M}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Zs}": " ",
    r"\p{Z}": r"\s",
    r"\p{P}": r"!-/:-@\[-`{-~",
    r"\p{S}": r"$+<=>^`|~",
}


@dataclass(frozen=True)
class ModelViolation:
    """One violation of the model.

    Attributes:
        kind: `missing`, `type`, `enum`, `length`, `range` or `pattern`.
        path: The dotted path: `containerDefinitions.1.member.name`.
        value: The actual value.
        constraint: The constraint in AWS's words.
    """

    kind: str
    path: str
    value: Any
    constraint: str

    @property
    def text(self) -> str:
        """The violation in AWS's words."""
        value = "null" if self.kind == "missing" else f"'{self.value}'"
        return f"Value {value} at '{self.path}' failed to satisfy constraint: {self.constraint}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


def violations(parameters: Mapping[str, Any], shape: Any) -> Iterator[ModelViolation]:
    """All violations in an operation's parameters.

    Members that the model does not have are ignored, as by the JSON services.

    Args:
        parameters: The parameters, as parsed by `protocol.parse`.
        shape: botocore's input shape of the operation; None without parameters.
    """
    if shape is not None:
        yield from _of(parameters, shape, "")


def _of(value: Any, shape: Any, path: str) -> Iterator[ModelViolation]:
    kind = shape.type_name
    allowed: Any = TYPES.get(kind, object)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind != "boolean"):
        yield ModelViolation("type", path, value, f"Member must be of type {kind}")
        return
    match kind:
        case "structure":
            yield from _of_structure(value, shape, path)
        case "list":
            yield from _within("length", len(value), shape, path, value)
            member = shape.member
            for number, item in enumerate(value, 1):
                yield from _of(item, member, f"{path}.{number}.member")
        case "map":
            yield from _within("length", len(value), shape, path, value)
            for key, item in value.items():
                yield from _of(key, shape.key, f"{path}.key")
                yield from _of(item, shape.value, f"{path}.{key}.member")
        case "string":
            yield from _of_string(value, shape, path)
        case "integer" | "long" | "float" | "double":
            yield from _within("range", value, shape, path, value)


def _of_structure(value: Any, shape: Any, path: str) -> Iterator[ModelViolation]:
    prefix = f"{path}." if path else ""
    for name in shape.metadata.get("required", ()):
        if value.get(name) is None:
            yield ModelViolation("missing", prefix + name, None, "Member must not be null")
    members = shape.members
    for name, member in value.items():
        if member is not None and name in members:
            yield from _of(member, members[name], prefix + name)


def _of_string(value: str, shape: Any, path: str) -> Iterator[ModelViolation]:
    metadata = shape.metadata
    if metadata.get("enum") and value not in metadata["enum"]:
        allowed = ", ".join(metadata["enum"])
        yield ModelViolation(
            "enum", path, value, f"Member must satisfy enum value set: [{allowed}]"
        )
    yield from _within("length", len(value), shape, path, value)
    pattern = metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        text = f"Member must satisfy regular expression pattern: {pattern}"
        yield ModelViolation("pattern", path, value, text)


def _within(kind: str, size: float, shape: Any, path: str, value: Any) -> Iterator[ModelViolation]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    what = "length" if kind == "length" else "value"
    if least is not None and size < least:
        text = f"Member must have {what} greater than or equal to {least}"
        yield ModelViolation(kind, path, value, text)
    if most is not None and size > most:
        yield ModelViolation(
            kind, path, value, f"Member must have {what} less than or equal to {most}"
        )


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


@cache
def _compiled(pattern: str) -> "re.Pattern[str] | None":
    """The pattern in Python's syntax; None if it has no equivalent (lookbehinds, flags)."""
    for theirs, ours in CLASSES.items():
        pattern = pattern.replace(theirs, ours)
    try:
        return re.compile(pattern)
    except re.error:
        return None
