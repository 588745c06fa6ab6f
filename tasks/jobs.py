"""The job file, and the messages that follow from it, one a group. Pure: no AWS in here.

Job file and message keep Distributed-CellProfiler's keys. The message's own schema is
docs/contract.schema.json.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from blocks.documents import parse_mapping
from blocks.errors import JobFileError, Problem, Refusal, Refusals
from blocks.groups import joined, metadata_id, metadata_text, parse_metadata
from blocks.job_rules import broken_rules
from blocks.problems import problems_of

DATA_FILES = (".csv", ".h5", ".txt")
"""A LoadData CSV, a batch file, a list of files."""

_MOUNT = "/home/ubuntu/bucket/"


@dataclass(frozen=True)
class JobMessage:
    """One job: a group of images and the pipeline to run on it.

    Attributes:
        metadata: The group, `K=V,K=V`.
        pipeline: S3 key of the pipeline or batch file.
        data_file: S3 key of the LoadData CSV, batch file or file list.
        input: S3 prefix of the default input folder; may be empty.
        output: S3 prefix of the outputs of all jobs.
        output_structure: Folders below `output`, naming keys of the group; may be empty.
        run_id: The run it was submitted by; may be empty.
    """

    metadata: str
    pipeline: str
    data_file: str
    input: str
    output: str
    output_structure: str
    run_id: str = ""

    @property
    def job_id(self) -> str:
        """What the job is, as 32 hexadecimal digits: the same job has the same in every run."""
        what = [
            self.pipeline,
            self.data_file,
            self.input,
            self.metadata,
            self.output,
            self.output_structure,
        ]
        text = json.dumps(what, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def metadata_id(self) -> str:
        """The folders of the group below `output`."""
        return metadata_id(parse_metadata(self.metadata), self.output_structure)

    @property
    def output_prefix(self) -> str:
        """Where the outputs lie in the destination bucket, with a slash at the end."""
        return joined(self.output, self.metadata_id) + "/"

    @property
    def body(self) -> str:
        """The message as JSON, as it is sent to SQS."""
        message = {
            "Metadata": self.metadata,
            "pipeline": self.pipeline,
            "data_file": self.data_file,
            "input": self.input,
            "output": self.output,
            "output_structure": self.output_structure,
            "job_id": self.job_id,
        }
        if self.run_id:
            message["run_id"] = self.run_id
        return json.dumps(message, ensure_ascii=False)

    @classmethod
    def from_body(cls, body: str) -> "JobMessage":
        """The job of a message, one of ours or a plain one of DCP.

        Raises:
            JobFileError: The message is not one that a worker would run.
        """
        where = "job message"
        message = parse_mapping(body, where, JobFileError)
        for key, pattern in (("job_id", "[0-9a-f]{32}"), ("run_id", "[A-Za-z0-9][A-Za-z0-9._-]*")):
            value = message.get(key)
            if value is not None and not re.fullmatch(pattern, str(value)):
                raise JobFileError(Problem(where, key, "is not one of ours", got=repr(value)))
        shared = {key: message[key] for key in JobFile.model_fields if key in message}
        group = {key: message[key] for key in ("Metadata",) if key in message}
        job_file = _validated({**shared, "groups": [group]}, where)
        return next(job_file.messages(message.get("run_id", "")))


def _object_key(value: str) -> str:
    """A key within a bucket, not a path of a machine or an address."""
    if "://" in value:
        raise Refusal(
            "is an address", allowed="the key within the bucket", remedy="Leave out s3://bucket/."
        )
    if value.startswith("/"):
        start = _MOUNT if value.startswith(_MOUNT) else "/"
        raise Refusal(
            "begins with /", allowed="the key within the bucket", remedy=f"Leave out {start}."
        )
    if value and not value.isprintable():
        raise Refusal("has a line break or control character")
    if value.strip("/"):
        joined(value)
    return value


def _data_file(value: str) -> str:
    if PurePosixPath(value).suffix not in DATA_FILES:
        raise Refusal(
            "is no file that jobs are made from",
            allowed="a LoadData CSV (.csv), a batch file (.h5) or a list of files (.txt)",
        )
    return value


ObjectKey = Annotated[str, Field(min_length=1), AfterValidator(_object_key)]
Prefix = Annotated[str, AfterValidator(_object_key)]


class JobFile(BaseModel):
    """A job file of Distributed-CellProfiler: what every job shares, and a group for each job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pipeline: ObjectKey = Field(description="S3 key of the pipeline in the workspace bucket.")
    data_file: Annotated[ObjectKey, AfterValidator(_data_file)] = Field(
        description="S3 key of the LoadData CSV, batch file or list of files."
    )
    input: Prefix = Field(default="", description="S3 prefix of the default input folder.")
    output: ObjectKey = Field(description="S3 prefix of all outputs in the destination bucket.")
    output_structure: str = Field(
        default="",
        description="Folders below output, such as Metadata_Plate/Metadata_Well. "
        "Left out: the values of the group joined by -.",
    )
    groups: list[dict[str, Any]] = Field(
        min_length=1,
        description='One for each job: {"Metadata": "K=V,K=V"}, or a mapping of keys to values.',
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if refusals := list(broken_rules(self)):
            raise Refusals(refusals)
        return self

    def messages(self, run_id: str) -> Iterator[JobMessage]:
        """The job of every group, in the order of the file, one at a time."""
        for group in self.groups:
            yield JobMessage(
                metadata=metadata_text(parse_metadata(group.get("Metadata", group))),
                pipeline=self.pipeline,
                data_file=self.data_file,
                input=self.input,
                output=self.output,
                output_structure=self.output_structure,
                run_id=run_id,
            )

    def jobs_sharing_folders(self) -> int:
        """Jobs that write into a folder of another; files of the same name overwrite each other.

        DCP's projection step means it so (all sites of a plate in one folder), so it is no error.
        """
        folders = Counter(message.output_prefix for message in self.messages(""))
        return sum(count for count in folders.values() if count > 1)


def parse_job_file(text: str, where: str) -> JobFile:
    """The job file in a JSON or YAML text.

    Raises:
        JobFileError: The text cannot be read, or something in it is wrong; all is named.
    """
    values = parse_mapping(text, where, JobFileError, as_text=True)
    return _validated(
        {key: value for key, value in values.items() if not key.startswith("_comment")}, where
    )


def _validated(values: dict[str, Any], where: str) -> JobFile:
    try:
        return JobFile.model_validate(values)
    except ValidationError as error:
        raise JobFileError(*problems_of(error, where, JobFile)) from error
