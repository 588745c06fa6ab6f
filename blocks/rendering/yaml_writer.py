"""YAML texts with comments, in the form in which people write them."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

WIDTH = 96
_ENDLESS = 2**30  # columns; PyYAML then wraps no line
# libyaml's faster writer if it is installed: a job file may have 100,000 groups.
_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def comment(text: str) -> Iterator[str]:
    """A comment, wrapped over several lines."""
    for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def entry(key: str, value: Any, unit: str = "") -> Iterator[str]:
    """A key with its value on one line; a list of mappings has one mapping per line."""
    after = f" # {unit}" if unit else ""
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        yield f"{key}:{after}"
        for item in value:
            yield f"  - {on_one_line(item)}"
    elif isinstance(value, Mapping) and value:
        yield f"{key}:{after}"
        for inner, part in value.items():
            yield from indented(entry(on_one_line(inner), part))
    else:
        yield f"{key}: {on_one_line(value)}{after}"


def on_one_line(value: Any) -> str:
    """A value as YAML without a line break, valid anywhere in a text.

    It is written as the only entry of a list, whose brackets are then removed: inside a list, YAML
    quotes every text that would end the list or start a comment.
    """
    texts = [part for part in _texts(value) if not part.isprintable()]
    written: str = yaml.dump(
        [value],
        Dumper=_SafeDumper,
        default_flow_style=True,
        default_style='"' if texts else None,
        width=_ENDLESS,
        allow_unicode=True,
        sort_keys=False,
    )
    return written.strip()[1:-1]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def indented(lines: Iterable[str]) -> Iterator[str]:
    """The lines, indented by two more columns."""
    return (f"  {line}" if line else line for line in lines)
