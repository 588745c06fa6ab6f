"""pydantic's errors as problems that people can act on.

The allowed values come from the model's JSON schema, as do the form in the Prefect UI and the table
in docs/configuration.md.
"""

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from blocks.errors import Problem, Refusal, Refusals

Location = tuple[int | str, ...]

_SHOWN = 60
"""Maximum number of characters of a wrong value in a message."""

_COMPARED = 2000
_NAMED = 10


def problems_of(error: ValidationError, where: str, model: type[BaseModel]) -> list[Problem]:
    """All problems of a validation error, in the model's order."""
    return [
        problem
        for entry in error.errors(include_url=False)
        for problem in _problems(entry, where, model)
    ]


def unknown_key(key: str, known_keys: Iterable[str]) -> Refusal:
    """The refusal of an unknown key, with the nearest known one."""
    names = list(known_keys)
    if key.lower() in names:
        remedy = f"Write {key.lower()}, in lower case."
    elif near := difflib.get_close_matches(key.lower(), names, 1):
        remedy = f"Did you mean {near[0]}?"
    else:
        remedy = "Remove it."
    return Refusal("is not a known key", remedy=remedy)


def retired_key(why: str) -> Refusal:
    """The refusal of a key that no longer exists.

    Args:
        why: The reason why it has no effect, as a sentence.
    """
    return Refusal("is no longer a key", remedy=f"Remove it. {why}")


def nearest(value: str, values: Iterable[str]) -> str:
    """In words: the known value most similar to an unknown one, or some of the known values."""
    names = list(islice(values, _COMPARED))
    if near := difflib.get_close_matches(value, names, 1, 0.5):
        return f"the nearest is {near[0]!r}"
    more = ", …" if len(names) > _NAMED else ""
    return f"there are {', '.join(map(repr, names[:_NAMED]))}{more}" if names else "there are none"


def key_text(location: Iterable[int | str]) -> str:
    """A place in a document: dotted keys, and numbers in brackets counted from 1."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += f".{part}" if text else part
    return text


def display_text(value: Any) -> str:
    """A wrong value as a message shows it."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def allowed_values(model: type[BaseModel], key: str) -> str:
    """The allowed values of a key of the model, in words."""
    schema = model.model_json_schema()["properties"][key]
    if "allowed" in schema:
        return str(schema["allowed"])
    words = " or ".join(
        _words(choice) for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"
    )
    unit = schema.get("unit")
    return f"{words} {unit}" if unit else words


def _words(schema: dict[str, Any]) -> str:
    if "allowed" in schema:
        return str(schema["allowed"])
    if "$ref" in schema:
        return "the name of a saved block, or a mapping of its fields"
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    match schema.get("type"):
        case "integer":
            return f"a whole number{_range(schema)}"
        case "number":
            return f"a number{_range(schema)}"
        case "boolean":
            return "true or false"
        case "array":
            return f"a list of {_words(schema.get('items', {}))}"
        case "object":
            return "a mapping"
        case _:
            return "a text, not empty" if schema.get("minLength") else "a text"


def _range(schema: dict[str, Any]) -> str:
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']:g}, at most {schema['maximum']:g}"
    if "minimum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    return ""


def _problems(entry: ErrorDetails, where: str, model: type[BaseModel]) -> Iterable[Problem]:
    location = entry["loc"]
    key = key_text(location)
    owner, inner = _owner(model, location)
    field = owner.model_fields.get(str(inner[0])) if inner else None
    secret = _is_secret(model, location)
    got = "" if secret or not location else display_text(entry["input"])
    cause = entry.get("ctx", {}).get("error")
    if isinstance(cause, Refusals):
        return [refusal.at(where, key) for refusal in cause.refusals]
    if isinstance(cause, Refusal):
        return [cause.at(where, key, got)]
    if entry["type"] == "extra_forbidden":
        return [unknown_key(str(location[-1]), owner.model_fields).at(where, key)]
    if entry["type"] == "missing":
        remedy = f"Add it: {field.description}" if field and field.description else "Add it."
        return [Problem(where, key, "is missing", remedy=remedy)]
    if field and len(inner) == 1 and not secret:
        allowed = allowed_values(owner, str(inner[0]))
        return [Problem(where, key, _what(entry["type"]), got, allowed)]
    return [Problem(where, key, "is wrong", got, remedy=f"{entry['msg']}.")]


def _owner(model: type[BaseModel], location: Location) -> tuple[type[BaseModel], Location]:
    """The innermost model of a location, and the rest of the location inside that model."""
    field = model.model_fields.get(str(location[0])) if len(location) > 1 else None
    for kind in (field.annotation, *get_args(field.annotation)) if field else ():
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            # A list in a field that also accepts a model has locations of its own.
            if isinstance(location[1], int):
                break
            return _owner(kind, location[1:])
    return model, location


def _is_secret(model: type[BaseModel], location: Location) -> bool:
    field = model.model_fields.get(str(location[0])) if location else None
    return field is not None and not field.repr


def _what(kind: str) -> str:
    if kind == "literal_error":
        return "is not an allowed value"
    if kind in {"greater_than", "greater_than_equal", "too_short", "string_too_short"}:
        return "is too small" if kind.startswith("greater") else "is empty"
    if kind in {"less_than", "less_than_equal", "too_long", "string_too_long"}:
        return "is too large" if kind.startswith("less") else "is too long"
    return "has the wrong type"
