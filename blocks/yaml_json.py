"""Parses YAML and JSON texts into plain mappings; errors name the file and line."""

import json
from collections.abc import Hashable
from pathlib import PurePosixPath
from typing import Any

import yaml

from blocks.errors import InputError, Problem

# libyaml's faster parser if it is installed: a job file may have 100,000 groups.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TextLoader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


MOST_REPEATED = 100
"""Maximum number of values per character of a YAML text, with all aliases followed: far more than
anybody writes. An alias that names itself soon exceeds it."""


class _RepeatedKey(Exception):
    """A key occurs twice in one mapping."""


class _UnboundedAliases(Exception):
    """Aliases name themselves, or each other so often that the values would fill the memory."""


def parse_mapping(
    text: str, where: str, error: type[InputError], *, as_text: bool = False
) -> dict[str, Any]:
    """The mapping in a YAML or JSON text.

    Args:
        text: The text; JSON if the name ends in .json or the text starts with a brace.
        where: The name of the file, for the errors.
        error: The class of the error to raise.
        as_text: Keep every scalar as text (`001` stays `001`, `NO` stays `NO`).

    Raises:
        InputError: As `error`: the text cannot be parsed or is not a mapping, or a key occurs twice
            (keys beginning with `_comment` may).
    """
    suffix = PurePosixPath(where).suffix.lower()
    is_json = suffix == ".json" or (
        suffix not in {".yaml", ".yml"} and text.lstrip().startswith("{")
    )
    try:
        values = _json(text, as_text) if is_json else _yaml(text, as_text)
    except json.JSONDecodeError as wrong:
        raise error(
            Problem(
                f"{where}:{wrong.lineno}:{wrong.colno}",
                "",
                f"is not valid JSON: {_lowered(wrong.msg)}",
                remedy="JSON needs double quotes, and commas between entries but not after the "
                "last.",
            )
        ) from wrong
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        mistake = f"is not valid YAML: {wrong.problem or wrong.context}"
        raise error(Problem(place, "", mistake)) from wrong
    except yaml.YAMLError as wrong:
        raise error(Problem(where, "", f"is not valid YAML: {wrong}")) from wrong
    except _RepeatedKey as twice:
        raise error(
            Problem(where, str(twice), "occurs twice", remedy="Keep one of them.")
        ) from twice
    except _UnboundedAliases as endless:
        mistake = "has aliases (*name) that refer to themselves or expand without limit"
        raise error(Problem(where, "", mistake, remedy="Write the values out.")) from endless
    except RecursionError as deep:
        raise error(Problem(where, "", "is nested too deeply")) from deep
    except ValueError as wrong:  # an impossible date or number
        kind = "JSON" if is_json else "YAML"
        raise error(Problem(where, "", f"is not valid {kind}: {_lowered(str(wrong))}")) from wrong
    if not isinstance(values, dict):
        raise error(
            Problem(where, "", "contains no keys", remedy="Write `key: value`, one on each line.")
        )
    return {str(key): value for key, value in values.items()}


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _json(text: str, as_text: bool) -> Any:
    numbers: dict[str, Any] = (
        {"parse_int": str, "parse_float": str, "parse_constant": str} if as_text else {}
    )
    values = json.loads(text, object_pairs_hook=_pairs, **numbers)
    if "\\u" in text:
        # Half of a character (\ud800) can be escaped, but cannot be written or sent.
        json.dumps(values, ensure_ascii=False).encode()
    return values


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        _refuse_repeats([key for key, _ in pairs])
    return values


def _refuse_repeats(keys: list[Hashable]) -> None:
    earlier: set[Hashable] = set()
    for key in keys:
        if key in earlier and not str(key).startswith("_comment"):
            raise _RepeatedKey(str(key))
        earlier.add(key)


def _yaml(text: str, as_text: bool) -> Any:
    loader: Any = (_TextLoader if as_text else _SafeLoader)(text)
    try:
        node = loader.get_single_node()
        _check_repeats(node, MOST_REPEATED * (len(text) + 1))
        return loader.construct_document(node) if node is not None else None
    finally:
        loader.dispose()


def _check_repeats(node: Any, most: int) -> None:
    """PyYAML silently keeps the last of equal keys, and follows every alias."""
    waiting, count = [node], 0
    while waiting:
        node = waiting.pop()
        count += 1
        if count > most:
            raise _UnboundedAliases
        if isinstance(node, yaml.MappingNode):
            _refuse_repeats([k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode)])
            waiting.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
