"""Lists of plates, wells, sites, rows and columns, as people write them."""

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from blocks.errors import Refusal
from blocks.job_file.plate_layout import expanded


def as_text(value: Any) -> Any:
    """A number as it is written, for plates and sites that are numbers."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _names(value: Any) -> Any:
    if value == "":
        return []  # an empty field of a form
    return [as_text(one) for one in value] if isinstance(value, (list, tuple)) else [as_text(value)]


def _values(value: Any) -> Any:
    """The values of a range, or of a list in which there may be ranges."""
    if as_text(value) == "":
        return []
    if str(value).isdigit():
        raise Refusal(
            "is one number, which may mean that one alone or so many",
            remedy=f"Write 1-{value} for {value} of them, or [{value}] for that one alone.",
        )
    parts = value if isinstance(value, (list, tuple)) else [value]
    return [one for part in parts for one in _expanded(as_text(part))]


def _expanded(value: Any) -> list[Any]:
    return expanded(value) if isinstance(value, str) else [value]


def _list_or_text(allowed: str) -> dict[str, Any]:
    items = {"type": "array", "items": {"type": "string"}}
    return {"anyOf": [{"type": "string"}, items], "allowed": allowed}


Names = Annotated[
    list[str], BeforeValidator(_names), WithJsonSchema(_list_or_text("a list of names"))
]
"""Names; a single one may stand alone."""

Ranges = Annotated[
    list[str],
    BeforeValidator(_values),
    WithJsonSchema(_list_or_text("a range such as 1-9 or A-P, or a list of values")),
]
"""Values, in which 1-3 stands for 1, 2, 3 and A-C for A, B, C."""
