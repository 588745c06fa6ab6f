"""Run configs, fleet templates and job files as YAML texts with explanatory comments."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from blocks.fields import GROUPS, extra_of
from blocks.rendering.yaml_writer import comment, entry, indented
from blocks.run_config.model import RunConfig

SCHEMAS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class YamlFields:
    """The parts of a model to write.

    Attributes:
        values: Its fields.
        examples: Fields that are not set, each with an example to show in a comment.
        notes: Comments on a field in addition to its description.
    """

    values: Mapping[str, Any]
    examples: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Iterable[str]] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        """Whether the field is written, as a value or as an example."""
        return key in self.values or key in self.examples


def config_text(config: YamlFields, heading: str, schema: str = "") -> str:
    """A run config as YAML, in sections.

    Args:
        config: Its settings.
        heading: The comment at the top.
        schema: The address of the JSON Schema for editors; empty for none.
    """
    lines = [*_head(heading, schema)]
    for group, title in GROUPS.items():
        keys = [
            key
            for key, setting in RunConfig.model_fields.items()
            if extra_of(setting)["group"] == group and key in config
        ]
        if keys:
            # A section without any value is written as a comment.
            is_set = any(key in config.values for key in keys)
            lines += ["", f"{'' if is_set else '# '}{group}: # {title}"]
            lines += indented(line for key in keys for line in _field(RunConfig, key, config))
    return "\n".join(lines) + "\n"


def model_text(model: type[BaseModel], values: YamlFields, heading: str, schema: str = "") -> str:
    """A fleet template or a job file as YAML.

    Args:
        model: The model.
        values: Its fields.
        heading: The comment at the top.
        schema: The address of the JSON Schema for editors; empty for none.
    """
    lines = [*_head(heading, schema)]
    for key in model.model_fields:
        if key in values:
            lines += ["", *_field(model, key, values)]
    return "\n".join(lines) + "\n"


def _head(heading: str, schema: str) -> Iterator[str]:
    if schema:
        yield f"# yaml-language-server: $schema={schema}"
    yield from comment(heading)


def _field(model: type[BaseModel], key: str, written: YamlFields) -> Iterator[str]:
    field = model.model_fields[key]
    yield from comment(field.description or "")
    for note in written.notes.get(key, ()):
        yield from comment(note)
    if key in written.values:
        yield from entry(key, written.values[key], extra_of(field).get("unit", ""))
    else:
        yield from (f"# {line}" for line in entry(key, written.examples[key]))
