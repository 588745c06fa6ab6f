"""How a setting of the run config is declared, and the types of text settings.

A setting is a pydantic field with a group (a section of the YAML file), a description and a unit.
The form in the Prefect UI, the messages for wrong values and docs/configuration.md all use these.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue
from pydantic.fields import ComputedFieldInfo, FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticUndefined
from pydantic_core.core_schema import no_info_after_validator_function

from blocks.errors import Refusal

GROUPS = {
    "run": "Run",
    "aws": "AWS account",
    "buckets": "Buckets",
    "fleet": "Machines",
    "container": "Containers",
    "queue": "Queue",
    "skip": "Skip completed jobs",
    "cellprofiler": "CellProfiler",
    "monitor": "Monitoring",
}
"""The sections of a run config: their key in YAML and their heading."""


def setting(
    group: str,
    default: Any = PydanticUndefined,
    description: str = "",
    *,
    unit: str = "",
    default_text: str = "",
    allowed: str = "",
    **constraints: Any,
) -> Any:
    """A field of the run config.

    Args:
        group: Its section, a key of `GROUPS`.
        default: Its default; without one, the setting is required.
        description: Its meaning, as a sentence.
        unit: The unit of a number.
        default_text: The default in words, if it depends on other settings.
        allowed: The allowed values in words, if they do not follow from the type.
        constraints: Further arguments of pydantic's `Field`.
    """
    form_text = description
    if unit:
        form_text += f" Unit: {unit}."
    if default_text:
        form_text += f" Default: {default_text}."
    extra: dict[str, JsonValue] = {
        "group": group,
        "unit": unit,
        "default_text": default_text,
        "description": form_text,
    }
    if allowed:
        extra["allowed"] = allowed
    return Field(default=default, description=description, json_schema_extra=extra, **constraints)


def extra_of(field: FieldInfo | ComputedFieldInfo) -> dict[str, Any]:
    """The extra properties that `setting` stored in a field."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def form_title(key: str, field: FieldInfo | ComputedFieldInfo) -> str:
    """The label of a setting in the Prefect UI: its group, then its key in YAML."""
    group = extra_of(field).get("group")
    return f"{GROUPS[group]}: {key}" if group else key


def none_if_unset(value: Any) -> Any:
    """None for an empty text and for DCP's 'False', which mean that a text is not set."""
    if value is False or (isinstance(value, str) and value.strip().lower() in {"", "false"}):
        return None
    return value


def as_list(value: Any) -> Any:
    """A single text as a list."""
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True)
class TextRule:
    """The form of a text, used by validation, by messages and by the form in the UI."""

    pattern: str
    mistake: str
    allowed: str
    remedy: str = ""

    def check(self, value: str) -> str:
        """The value, if it matches.

        Raises:
            Refusal: It does not match.
        """
        if not re.fullmatch(self.pattern, value):
            raise Refusal(self.mistake, allowed=self.allowed, remedy=self.remedy)
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$", "allowed": self.allowed}


class PlainField:
    """Shows an optional setting as one field of a form, not as a choice of types."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        field_schema: JsonSchemaValue = handler(schema)
        (kind,) = (option for option in field_schema.pop("anyOf") if option != {"type": "null"})
        return {**field_schema, **kind}


AppName = Annotated[
    str,
    # With any suffix of blocks.resource_names, the name must still fit into 80 characters.
    TextRule(
        r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
        "is not an app name",
        "1 to 64 letters, digits, hyphens and underscores, beginning with a letter or digit",
        "All names in AWS are derived from it.",
    ),
]
Image = Annotated[
    str,
    TextRule(
        r"[a-z0-9][A-Za-z0-9._:/@-]{0,254}",
        "is not the name of a container image",
        "[registry/]name[:tag] or name@sha256:digest",
    ),
]
Region = Annotated[
    str,
    TextRule(
        r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}",
        "is not an AWS region",
        "the code of a region, such as us-east-1",
        "A zone (us-east-1a) is not a region.",
    ),
]
QueueName = Annotated[
    str,
    # Amazon SQS Developer Guide, "Quotas related to queues".
    TextRule(
        r"[A-Za-z0-9_-]{1,80}",
        "is not a queue name",
        "1 to 80 letters, digits, hyphens and underscores",
        "Write only the last part of an ARN or URL.",
    ),
]
LogGroupName = Annotated[
    str,
    # CloudWatch Logs, CreateLogGroup: 512 characters, of which `_perInstance` takes 12.
    TextRule(
        r"[A-Za-z0-9_./#-]{1,500}",
        "is not a log group name",
        "1 to 500 letters, digits and the characters _ - / . #",
    ),
]
ClusterName = Annotated[
    str,
    # Amazon ECS, CreateCluster.
    TextRule(
        r"[A-Za-z][A-Za-z0-9_-]{0,254}",
        "is not a cluster name",
        "1 to 255 letters, digits, hyphens and underscores, beginning with a letter",
    ),
]
MachineType = Annotated[
    str,
    TextRule(
        r"[a-z][a-z0-9-]*\.[a-z0-9-]+",
        "is not an EC2 machine type",
        "names such as m5.xlarge",
    ),
]
MachineTypes = Annotated[list[MachineType], BeforeValidator(as_list)]
Bucket = Annotated[
    str,
    # Amazon S3 User Guide, "General purpose bucket naming rules".
    TextRule(
        r"(?!xn--|sthree-)(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)(?!.*(?:-s3alias|--ol-s3)$)"
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "is not a bucket name",
        "3 to 63 lower-case letters, digits, dots and hyphens",
        "Write only the bucket's name, without s3:// or a folder.",
    ),
]
OptionalBucket = Annotated[Bucket | None, BeforeValidator(none_if_unset), PlainField()]
OptionalText = Annotated[str | None, BeforeValidator(none_if_unset), PlainField()]
OptionalQueue = Annotated[QueueName | None, BeforeValidator(none_if_unset), PlainField()]
OptionalLogGroup = Annotated[LogGroupName | None, BeforeValidator(none_if_unset), PlainField()]
OptionalNumber = Annotated[int | None, PlainField()]
OptionalAmount = Annotated[float | None, PlainField()]
