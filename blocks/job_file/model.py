"""The job file: what to run on what, its keys checked against each other, and its jobs."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Self

from pydantic import ValidationError, model_validator

from blocks.errors import JobFileError, Problem, Refusals
from blocks.job_file.expand import sets_of
from blocks.job_file.fields import JobFileFields
from blocks.job_file.job_set import JobSet
from blocks.job_file.print_groups import FILES, read_groups
from blocks.job_file.rules import broken_rules
from blocks.validation_errors import problems_of
from blocks.yaml_json import parse_mapping

_PASSED_OVER = ("_comment", "$schema")


class JobFile(JobFileFields):
    """What to run on what: pipeline, data file, output place, and the groups.

    A group is a job. Groups are listed as in Distributed-CellProfiler's job files, made from the
    LoadData CSV (`groups: {by: [...]}`) or from a layout (`groups: {format: 384, ...}`); one of
    DCP's standard steps (`step: analysis`) has all else by itself.
    """

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if refusals := list(broken_rules(self)):
            raise Refusals(refusals)
        return self

    def sets(self, plates: Sequence[str] = (), where: str = "job file") -> tuple[JobSet, ...]:
        """The jobs, as sets of which each has one data file. Nothing is read.

        Args:
            plates: Plates that take the place of the file's own.
            where: The job file's name, for messages.

        Raises:
            JobFileError: No plates are named where there must be, or none of these is in the file.
        """
        return sets_of(self, plates, where)


def parse_job_file(text: str, where: str, read: Callable[[str], str] | None = None) -> JobFile:
    """The job file in a JSON or YAML text.

    Args:
        text: The text.
        where: Its name, for messages.
        read: Gives the text of a file of groups that the job file names.

    Raises:
        JobFileError: The text cannot be read, or something in it is wrong; all is named.
    """
    values = parse_mapping(text, where, JobFileError, as_text=True)
    values = {key: value for key, value in values.items() if not key.startswith(_PASSED_OVER)}
    groups = values.get("groups")
    if read and isinstance(groups, str) and PurePosixPath(groups).suffix.lower() in FILES:
        values["groups"] = read_groups(read(groups), groups)
    return validated(values, where)


def validated(values: dict[str, Any], where: str) -> JobFile:
    """The job file with these keys.

    Raises:
        JobFileError: Something in them is wrong; all is named.
    """
    problems = list(_empty_lists(values.get("groups"), where))
    try:
        job_file = JobFile.model_validate(values)
    except ValidationError as error:
        found = problems_of(error, where, JobFile)
        # What follows from an empty list need not be told beside it.
        problems += [one for one in found if not (problems and one.key == "groups")]
        raise JobFileError(*problems) from error
    if problems:
        raise JobFileError(*problems)
    return job_file


def _empty_lists(groups: Any, where: str) -> Iterator[Problem]:
    """Lists in which a file names nothing; in a form, an empty field is one that is left out."""
    for key, value in groups.items() if isinstance(groups, dict) else ():
        if value == []:
            remedy = "Fill it in, or leave it out."
            yield Problem(where, f"groups.{key}", "is empty", remedy=remedy)
