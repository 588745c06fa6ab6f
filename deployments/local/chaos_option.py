"""The option `--chaos` of `dcp local run` and `dcp local up`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from blocks.errors import ConfigError, Problem
from blocks.validation_errors import allowed_values, unknown_key
from deployments.local.emulator.core.chaos_switches import EVERYWHERE, Chaos

OPTION = "--chaos"


def parse_chaos(texts: Iterable[str]) -> Chaos:
    """Parse the values of `--chaos`: `NAME[=VALUE]`, separated by commas or repeated.

    A switch with names may be repeated; without a value it applies to everything.

    Raises:
        ConfigError: A switch is unknown or repeated, or its value is not allowed.
    """
    values: dict[str, Any] = {}
    for part in ",".join(texts).split(","):
        name, equals, value = (text.strip() for text in part.partition("="))
        if not name:
            continue
        default = Chaos.model_fields[name].default if name in Chaos.model_fields else None
        several = isinstance(default, tuple | dict)
        if not equals and isinstance(default, tuple):
            value = EVERYWHERE
        if name in values and not several:
            raise ConfigError(Problem(OPTION, name, "occurs twice", value))
        values[name] = [*values.get(name, []), value] if several else value
    return _chaos_of(values)


def _chaos_of(values: Mapping[str, Any]) -> Chaos:
    unknown = [name for name in values if name not in Chaos.model_fields]
    if unknown:
        allowed = ", ".join(Chaos.model_fields)
        problems = (unknown_key(name, Chaos.model_fields).at(OPTION, name) for name in unknown)
        raise ConfigError(*(replace(problem, allowed=allowed) for problem in problems))
    try:
        return Chaos.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*(_problem(entry) for entry in error.errors())) from error


def _problem(entry: ErrorDetails) -> Problem:
    switch, *names = map(str, entry["loc"])
    name = "".join(f"{part}:" for part in names if part != EVERYWHERE)
    # If a name itself is not allowed, pydantic's input is the name.
    got = str(entry["input"]) if names[-1:] == ["[key]"] else f"{name}{entry['input']}"
    return Problem(
        OPTION, switch, "is not allowed", got or "nothing", allowed_values(Chaos, switch)
    )
