"""Pages of Markdown as Jinja templates; each lies beside the module that fills it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_PART = re.compile(r"<!-- (?!end of )([^\n]+) -->\n.*?<!-- end of \1 -->\n", re.DOTALL)


def render(module: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """The template of a module, filled.

    Nothing is escaped by itself: what may hold formatting goes through a filter.

    Args:
        module: The module's `__file__`; the template's name is its name with `.md.jinja`.
        filters: Functions that the template applies to values.
        values: What the template shows; one that it lacks is an error.
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
    """A page whose marked parts are replaced.

    A part stands between `<!-- name -->` and `<!-- end of name -->`.

    Args:
        page: The page.
        parts: All parts of the page as they are now, with their marks.

    Raises:
        ValueError: The page lacks a part, or has one that is not given.
    """
    now = {part[1]: part[0] for part in _PART.finditer(parts)}
    if {part[1] for part in _PART.finditer(page)} != now.keys():
        raise ValueError(f"the page must have the parts {', '.join(now)}, each once")
    return _PART.sub(lambda part: now[part[1]], page)


def cell(value: object) -> str:
    """A value as a cell of a table."""
    return str(value).replace("|", r"\|")


def code(values: list[str]) -> str:
    """Values one after the other, each as code."""
    return ", ".join(f"`{value}`" for value in values)
