"""The job file: pipeline, data and groups, checked against each other, and the resulting jobs."""

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
    """What to run: pipeline, data file, output folder, and the groups.

    Each group is a job. List the groups as in Distributed-CellProfiler's job files, or derive them
    from the LoadData CSV (`groups: {by: [...]}`) or a layout (`groups: {format: 384, ...}`). A
    standard step of DCP (`step: analysis`) sets everything else.
    """

    @model_validator(mode="after")
    def _check(self) -> Self:
        if refusals := list(broken_rules(self)):
            raise Refusals(refusals)
        return self

    def sets(self, plates: Sequence[str] = (), where: str = "job file") -> tuple[JobSet, ...]:
        """The jobs as sets, each with one data file. No file is read.

        Args:
            plates: Plates that replace the file's own.
            where: The job file's name, for messages.

        Raises:
            JobFileError: Plates are required but missing, or a plate is not in the file.
        """
        return sets_of(self, plates, where)


def parse_job_file(text: str, where: str, read: Callable[[str], str] | None = None) -> JobFile:
    """The job file in a JSON or YAML text.

    Args:
        text: The text.
        where: Its name, for messages.
        read: Returns the text of a file of groups that the job file names.

    Raises:
        JobFileError: The text cannot be parsed, or has mistakes; lists all of them.
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
        JobFileError: The keys have mistakes; lists all of them.
    """
    problems = list(_empty_lists(values.get("groups"), where))
    try:
        job_file = JobFile.model_validate(values)
    except ValidationError as error:
        # An empty list causes further errors about groups, which would only repeat it.
        problems += [
            problem
            for problem in problems_of(error, where, JobFile)
            if not (problems and problem.key == "groups")
        ]
        raise JobFileError(*problems) from error
    if problems:
        raise JobFileError(*problems)
    return job_file


def _empty_lists(groups: Any, where: str) -> Iterator[Problem]:
    """Empty lists in a file are mistakes; in a form, an empty field is simply not set."""
    for key, value in groups.items() if isinstance(groups, dict) else ():
        if value == []:
            remedy = "Fill it in, or remove it."
            yield Problem(where, f"groups.{key}", "is empty", remedy=remedy)
