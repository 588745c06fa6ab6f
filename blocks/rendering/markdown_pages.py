"""Markdown pages from Jinja templates; each template is beside its module."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_PART = re.compile(r"<!-- (?!end of )([^\n]+) -->\n.*?<!-- end of \1 -->\n", re.DOTALL)


def render(module: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """The rendered template of a module.

    Values are not escaped: the template must filter those that may contain formatting.

    Args:
        module: The module's `__file__`; the template has the same name with `.md.jinja`.
        filters: Functions that the template applies to values.
        values: The values of the template; a missing one is an error.
    """
    file = Path(module).with_suffix(".md.jinja")
    environment = Environment(
        loader=FileSystemLoader(file.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters)
    return environment.get_template(file.name).render(values)


def with_parts(page: str, parts: str) -> str:
    """A page with its marked parts replaced.

    A part is the text between `<!-- name -->` and `<!-- end of name -->`.

    Args:
        page: The page.
        parts: The new text of all parts, with their marks.

    Raises:
        ValueError: The page lacks a part, or has one that is not in `parts`.
    """
    now = {part[1]: part[0] for part in _PART.finditer(parts)}
    if {part[1] for part in _PART.finditer(page)} != now.keys():
        raise ValueError(f"the page must have the parts {', '.join(now)}, each once")
    return _PART.sub(lambda part: now[part[1]], page)


def cell(value: object) -> str:
    """A value as a table cell."""
    return str(value).replace("|", r"\|")


def code(values: list[str]) -> str:
    """Values separated by commas, each as code."""
    return ", ".join(f"`{value}`" for value in values)
