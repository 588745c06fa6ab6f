"""The messages that follow from sets of jobs, one a group.

A message keeps Distributed-CellProfiler's keys; its schema is docs/contract.schema.json.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from blocks.errors import JobFileError, Problem, Refusal
from blocks.job_file.job_set import FromCsv, JobSet
from blocks.job_file.metadata import Pairs, joined, metadata_id, metadata_text, parse_metadata
from blocks.job_file.s3_keys import check_data_file, check_object_key, check_printable
from blocks.validation_errors import problems_of
from blocks.yaml_json import parse_mapping
from tasks.jobs.csv_groups import groups_of
from tasks.jobs.load_data_csv import LoadData

GetCsv = Callable[[str], LoadData]
"""Gives the CSV at a key: a `Csvs`."""


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
        try:
            read = _Message.model_validate(message)
        except ValidationError as error:
            raise JobFileError(*problems_of(error, where, _Message)) from error
        try:
            pairs = parse_metadata(read.Metadata)
        except Refusal as refusal:
            raise JobFileError(refusal.at(where, "Metadata", repr(read.Metadata))) from refusal
        if not isinstance(read.Metadata, str) and not read.output_structure:
            raise JobFileError(
                Problem(where, "output_structure", "is missing, and Metadata is a mapping")
            )
        shared = read.model_dump(exclude={"Metadata", "job_id"})
        job = cls(metadata=metadata_text(pairs), **shared)
        try:
            _ = job.output_prefix
        except Refusal as refusal:
            raise JobFileError(refusal.at(where, "output_structure")) from refusal
        return job


Key = Annotated[str, Field(min_length=1), AfterValidator(check_object_key)]


class _Message(BaseModel):
    """A message as DCP or we send it; what else it holds is passed over."""

    Metadata: Any
    pipeline: Key
    data_file: Annotated[Key, AfterValidator(check_data_file)]
    input: Annotated[str, AfterValidator(check_object_key)] = ""
    output: Key
    output_structure: Annotated[str, AfterValidator(check_printable)] = ""
    job_id: str = Field(default="", pattern="^([0-9a-f]{32})?$")
    run_id: str = Field(default="", pattern="^([A-Za-z0-9][A-Za-z0-9._-]*)?$")


def pairs_of(jobs: JobSet, csvs: GetCsv) -> Iterator[Pairs]:
    """The groups of a set, one at a time.

    Raises:
        InputError: They are to be made from a CSV, and the CSV does not serve.
    """
    if isinstance(jobs.groups, FromCsv):
        for pairs, _ in groups_of(csvs(jobs.data_file), jobs.groups):
            yield pairs
    else:
        yield from jobs.groups


def messages(sets: Sequence[JobSet], run_id: str, csvs: GetCsv) -> Iterator[JobMessage]:
    """The jobs of all sets, one at a time.

    Raises:
        InputError: A CSV that groups are made from is not there or does not serve.
    """
    for jobs in sets:
        for pairs in pairs_of(jobs, csvs):
            yield JobMessage(
                metadata=metadata_text(pairs),
                pipeline=jobs.pipeline,
                data_file=jobs.data_file,
                input=jobs.input,
                output=jobs.output,
                output_structure=jobs.output_structure,
                run_id=run_id,
            )
