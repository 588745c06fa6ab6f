"""Writes the pages that docs/ has about the models: `python -m blocks.rendering.reference_docs`.

docs/configuration.md is the table of all settings. Editors use docs/*.schema.json, the JSON
Schemas, to complete and check run configs, job files, fleet templates and profiles.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from blocks.fields import GROUPS, extra_of
from blocks.fleet_template.model import FleetTemplate
from blocks.job_file.model import JobFile
from blocks.job_file.profile import Profile
from blocks.rendering.markdown_pages import cell, render
from blocks.run_config.model import RunConfig
from blocks.run_config.upload import UploadOptions
from blocks.validation_errors import allowed_values

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "configuration.md"


def configuration_page() -> str:
    """The text of docs/configuration.md."""
    filters: dict[str, Callable[..., Any]] = {
        "allowed": partial(allowed_values, RunConfig),
        "allowed_of_upload": partial(allowed_values, UploadOptions),
        "cell": cell,
        "default_text": _default,
        "extra": extra_of,
    }
    return render(
        __file__,
        filters,
        groups=GROUPS,
        settings=RunConfig.model_fields,
        upload=UploadOptions.model_fields,
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if text := extra_of(field)["default_text"]:
        return str(text)
    match field.default:
        case bool():
            return str(field.default).lower()
        case "":
            return "empty"
        case list():
            return ", ".join(field.default)
        case _:
            return str(field.default)


def schema_texts() -> dict[str, str]:
    """The JSON Schemas by their file names in docs/."""
    schemas = {
        "config": _config_schema(),
        "job": _job_schema(),
        "fleet": _schema(FleetTemplate, "Fleet template of dcp"),
        "profile": _schema(Profile, "Profile of dcp: consecutive steps"),
    }
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }


_NOTES = ("title", "group", "unit", "allowed", "default_text")
"""Keys that the form in Prefect and the error messages use, and that editors do not know."""


def _schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """The schema of a YAML or JSON file with a model."""
    schema = model.model_json_schema(ref_template="#/definitions/{model}")
    definitions = {"definitions": schema.pop("$defs")} if "$defs" in schema else {}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **_plain(schema | definitions),
        "title": title,
    }


def _plain(schema: Any) -> Any:
    """A schema without our notes; lists and mappings accept a number where they accept a text."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema if part != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    if schema == {"type": "array", "items": {"type": "string"}}:
        return {"type": "array", "items": {"type": ["string", "number"]}}
    # A property may have the same name as a note.
    inner = {
        key: {name: _plain(part) for name, part in value.items()}
        if key in ("properties", "definitions")
        else _plain(value)
        for key, value in schema.items()
        if key not in _NOTES
        and not (key == "default" and value is None)
        and not (key == "additionalProperties" and isinstance(value, dict))
    }
    return inner["anyOf"][0] if list(inner) == ["anyOf"] and len(inner["anyOf"]) == 1 else inner


def _config_schema() -> dict[str, Any]:
    """Settings may be flat or in their sections; credentials may be the name of a block."""
    schema = _schema(RunConfig, "Run config of dcp")
    properties = schema["properties"]
    properties["aws_credentials"] = {
        "description": properties["aws_credentials"]["description"],
        "type": ["string", "object"],
    }
    sections = {
        group: {
            "type": "object",
            "description": heading,
            "additionalProperties": False,
            "properties": {
                key: properties[key]
                for key, field in RunConfig.model_fields.items()
                if extra_of(field)["group"] == group
            },
        }
        for group, heading in GROUPS.items()
    }
    schema.pop("required", None)  # a required key may be in a section
    return {**schema, "properties": {**properties, **sections}}


def _job_schema() -> dict[str, Any]:
    """Adds comments, groups as CellProfiler prints them, and the keys that each form requires."""
    schema = _schema(JobFile, "Job file of dcp")
    for key in ("identifier", "batch", "source"):
        schema["properties"][key]["type"] = ["string", "number"]
    group_list, *others = schema["properties"]["groups"]["anyOf"]
    printed = {"type": "array", "minItems": 2, "maxItems": 2}
    group_list = {**group_list, "minItems": 1, "items": {"anyOf": [{"type": "object"}, printed]}}
    schema["properties"]["groups"]["anyOf"] = [group_list, *others]
    schema["patternProperties"] = {r"^_comment|^\$schema$": {}}
    schema["anyOf"] = [
        {"required": ["pipeline", "data_file", "output", "groups"]},
        {"required": ["step", "identifier", "batch"]},
    ]
    return schema


if __name__ == "__main__":
    PAGE.write_text(configuration_page(), encoding="utf-8")
    for name, text in schema_texts().items():
        (DOCS / name).write_text(text, encoding="utf-8")
