"""How a setting of the run config is declared, and the kinds of text settings are made of.

A setting is a pydantic field with a group (a section of the YAML file), a description and a unit.
From these come the form in the Prefect UI, the messages for wrong values and
docs/configuration.md; nothing is written twice.
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
    "skip": "Skip what is done",
    "cellprofiler": "CellProfiler",
    "monitor": "Watching",
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
        group: The section it belongs to, a key of `GROUPS`.
        default: Its value when it is left out; without one, it must be given.
        description: What it is, a sentence.
        unit: The unit of a number.
        default_text: What takes the place of a default that follows from other settings.
        allowed: The values allowed, in words, where they do not follow from the type.
        constraints: What else pydantic's `Field` takes.
    """
    form_text = description
    if unit:
        form_text += f" Unit: {unit}."
    if default_text:
        form_text += f" Left out: {default_text}."
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
    """What `setting` noted on a field."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def form_title(key: str, field: FieldInfo | ComputedFieldInfo) -> str:
    """The label of a setting in the Prefect UI: its group, then the key as YAML spells it."""
    group = extra_of(field).get("group")
    return f"{GROUPS[group]}: {key}" if group else key


def unset(value: Any) -> Any:
    """Nothing, an empty text and DCP's 'False' all mean that a text is not set."""
    if value is False or (isinstance(value, str) and value.strip().lower() in {"", "false"}):
        return None
    return value


def listed(value: Any) -> Any:
    """A single text where a list of them is expected."""
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True)
class TextRule:
    """What a text must look like; known to validation, to messages and to the UI's form."""

    pattern: str
    what: str
    allowed: str
    remedy: str = ""

    def check(self, value: str) -> str:
        """The value, when it matches.

        Raises:
            Refusal: It does not.
        """
        if not re.fullmatch(self.pattern, value):
            raise Refusal(self.what, allowed=self.allowed, remedy=self.remedy)
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
    """Shows a setting that may be left out as one field of a form, not as a choice of types."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        shown: JsonSchemaValue = handler(schema)
        (kind,) = (one for one in shown.pop("anyOf") if one != {"type": "null"})
        return {**shown, **kind}


AppName = Annotated[
    str,
    # The longest that still leaves room for every suffix of blocks.resource_names within 80
    # characters.
    TextRule(
        r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
        "is not an app name",
        "1 to 64 letters, digits, hyphens and underscores, beginning with a letter or digit",
        "All names in AWS are made of it.",
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
        "Of an ARN or URL, write the last part alone.",
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
MachineTypes = Annotated[list[MachineType], BeforeValidator(listed)]
Bucket = Annotated[
    str,
    # Amazon S3 User Guide, "General purpose bucket naming rules".
    TextRule(
        r"(?!xn--|sthree-)(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)(?!.*(?:-s3alias|--ol-s3)$)"
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "is not a bucket name",
        "3 to 63 lower-case letters, digits, dots and hyphens",
        "Write the bucket's name alone, without s3:// or a folder.",
    ),
]
OptionalBucket = Annotated[Bucket | None, BeforeValidator(unset), PlainField()]
OptionalText = Annotated[str | None, BeforeValidator(unset), PlainField()]
OptionalQueue = Annotated[QueueName | None, BeforeValidator(unset), PlainField()]
OptionalLogGroup = Annotated[LogGroupName | None, BeforeValidator(unset), PlainField()]
OptionalNumber = Annotated[int | None, PlainField()]
OptionalAmount = Annotated[float | None, PlainField()]
