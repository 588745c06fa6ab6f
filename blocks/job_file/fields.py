"""The fields of a job file.

Its four forms differ in the source of the groups: a list as in DCP, the LoadData CSV, a layout, or
a standard step of DCP. docs/jobs.md shows each form.
"""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from blocks.errors import Refusal, Refusals
from blocks.fields import PlainField, form_title, none_if_unset
from blocks.job_file.group_selector import GroupRule, check_plates
from blocks.job_file.print_groups import FILES, without_image_numbers
from blocks.job_file.s3_keys import check_data_file, check_object_key, check_printable, ending
from blocks.job_file.standard_steps import STEPS, PathStyle, StepName
from blocks.job_file.value_lists import Names, as_text

_LISTED = 20
"""Maximum number of invalid groups listed one by one."""
_groups_list = TypeAdapter(list[dict[str, Any]])


def _groups(value: Any, _: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, GroupRule):
        return value
    if isinstance(value, Mapping):
        return GroupRule.model_validate(value)
    if isinstance(value, str):
        if PurePosixPath(value).suffix.lower() not in FILES:
            raise Refusal(
                "is neither a list, a mapping nor the name of a file of groups",
                got=repr(value),
                allowed=f"a file with the output of cellprofiler --print-groups "
                f"({', '.join(FILES)})",
            )
        return value
    if value == []:
        raise Refusal("is empty", remedy="Write a group for each job, or a rule such as by.")
    texts = [
        Refusal(
            "is a text, not a group",
            key=f"groups[{number}]",
            got=repr(group),
            remedy=f"Write {json.dumps({'Metadata': group}, ensure_ascii=False)}.",
        )
        for number, group in enumerate(value if isinstance(value, list) else (), 1)
        if isinstance(group, str)
    ]
    if texts:
        raise Refusals(texts[:_LISTED])
    return _groups_list.validate_python(without_image_numbers(value))


Key = Annotated[str, AfterValidator(check_object_key)]
Groups = Annotated[
    list[dict[str, Any]] | GroupRule | str | None,
    WrapValidator(_groups),
    Field(
        json_schema_extra={
            "allowed": "a list of groups, a mapping with rules for them, or a file of groups"
        }
    ),
]


class JobFileFields(BaseModel):
    """The keys of a job file, each valid by itself; `JobFile` checks them against each other."""

    model_config = ConfigDict(extra="forbid", frozen=True, field_title_generator=form_title)

    pipeline: Key = Field(
        default="",
        description="S3 key of the pipeline or batch file in the workspace bucket. With a step: "
        "the name of another pipeline in its folder, or a key that contains a /.",
    )
    data_file: Annotated[Key, AfterValidator(check_data_file)] = Field(
        default="",
        description="S3 key of the LoadData CSV, batch file or file list in the workspace bucket; "
        "{plate} stands for the name of the plate.",
    )
    input: Key = Field(
        default="", description="S3 prefix of the default input folder in the workspace bucket."
    )
    output: Key = Field(
        default="", description="S3 prefix of all outputs in the destination bucket."
    )
    output_structure: Annotated[str, AfterValidator(check_printable)] = Field(
        default="",
        description="Folders below output, such as Metadata_Plate/Metadata_Well. "
        "Default: the values of the group joined by -.",
    )
    groups: Groups = Field(
        default=None,
        description='A list with one group per job ({"Metadata": "K=V,K=V"}, or keys and values), '
        "a file with the output of cellprofiler --print-groups, or a mapping with rules for them.",
    )
    plates: Names = Field(
        default=[], description="The plates; required with a step or with {plate} in a key."
    )
    step: Annotated[StepName | None, BeforeValidator(none_if_unset), PlainField()] = Field(
        default=None, description="A standard step of Cell Painting; sets all paths."
    )
    identifier: str = Field(default="", description="Steps only: the project, part of every path.")
    batch: str = Field(default="", description="Steps only: the batch, part of every path.")
    path_style: PathStyle = Field(
        default="default",
        description="Steps only: folders below projects/ (default), or those of the Cell Painting "
        "Gallery (cpg).",
    )
    source: str = Field(default="", description="Steps with cpg only: the source, such as broad.")
    use_batch: bool = Field(
        default=False,
        description="Steps only: use the batch file instead of pipeline and CSV.",
    )
    batch_file: Annotated[Key, AfterValidator(ending(".h5"))] = Field(
        default="",
        description="Steps only: the name of another batch file, or a key that contains a /.",
    )
    csv_name: Annotated[Key, AfterValidator(ending(".csv"))] = Field(
        default="", description="Steps only: the name of another LoadData CSV."
    )
    pipeline_path: Key = Field(default="", description="Steps only: another folder of pipelines.")
    batch_path: Key = Field(default="", description="Steps only: another folder of batch files.")
    data_file_path: Key = Field(
        default="", description="Steps only: another folder of CSVs, with one folder per plate."
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: Any) -> Any:
        # An empty field of a form is not set.
        if isinstance(values, dict):
            values = {key: value for key, value in values.items() if value is not None}
        return values

    @field_validator("identifier", "batch", "source", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return as_text(value)

    @field_validator("plates")
    @classmethod
    def _check_plates(cls, plates: list[str]) -> list[str]:
        check_plates(plates)
        return plates

    @property
    def text(self) -> str:
        """The job file as JSON."""
        fields = set(type(self).model_fields)
        return json.dumps(self.model_dump(mode="json", include=fields, exclude_defaults=True))

    @property
    def app_suffix(self) -> str:
        """DCP's suffix to the identifier in the app name, such as Analysis; empty without step."""
        return STEPS[self.step].app_suffix if self.step else ""
