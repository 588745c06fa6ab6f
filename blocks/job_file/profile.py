"""A profile: consecutive standard steps, each with its own settings and sizes."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from blocks.errors import ConfigError, JobFileError, Problem, Refusal
from blocks.job_file.model import JobFile, validated
from blocks.job_file.standard_steps import StepName
from blocks.resource_names import app_of
from blocks.validation_errors import problems_of
from blocks.yaml_json import parse_mapping


class ProfileStep(BaseModel):
    """One step of a profile, which is a separate run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: StepName = Field(description="A standard step of Cell Painting.")
    settings: dict[str, Any] = Field(
        default={}, description="Keys of the run config for this step, such as cluster_machines."
    )
    job: dict[str, Any] = Field(
        default={}, description="Keys of the job file for this step, such as pipeline or groups."
    )


@dataclass(frozen=True)
class PlannedStep:
    """A step that is ready to run.

    Attributes:
        name: The step.
        app: Its app name, as DCP names it.
        job: Its job file.
        settings: Keys of the run config, including the app name.
    """

    name: str
    app: str
    job: JobFile
    settings: dict[str, Any]


class Profile(BaseModel):
    """The steps from images to measurements, in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: dict[str, Any] = Field(
        description="Keys of the job file shared by all steps: identifier, batch, plates …"
    )
    steps: list[ProfileStep] = Field(min_length=1, description="The steps, in order.")
    failed_share: float = Field(
        default=0,
        ge=0,
        le=0.99,
        description="Fraction of a step's jobs that may fail (0.05 is one in twenty); above it, "
        "the next step does not start.",
    )

    @field_validator("job")
    @classmethod
    def _of_all_steps(cls, job: dict[str, Any]) -> dict[str, Any]:
        if "step" in job:
            raise Refusal("contains the key step", remedy="Write it in the list of steps.")
        if not job.get("identifier"):
            raise Refusal("has no identifier", remedy="Add it: it is part of every path.")
        return job

    def plan(self, where: str = "profile") -> tuple[PlannedStep, ...]:
        """The steps with their job files.

        Args:
            where: Its name, for messages.

        Raises:
            JobFileError: The keys of a step are not a valid job file; lists all problems.
        """
        steps: list[PlannedStep] = []
        problems: list[Problem] = []
        for number, step in enumerate(self.steps, 1):
            values = self.job | step.job | {"step": step.step}
            try:
                job = validated(values, f"{where}: steps[{number}] ({step.step})")
            except JobFileError as error:
                problems += error.problems
                continue
            app = app_of(job.identifier, job.app_suffix)
            # Two runs cannot share a queue, so the config's queue name does not apply.
            settings = {"app_name": app, "sqs_queue_name": None} | step.settings
            steps.append(PlannedStep(step.step, str(settings["app_name"]), job, settings))
        if problems:
            raise JobFileError(*problems)
        return tuple(steps)


def parse_profile(text: str, where: str) -> Profile:
    """The profile in a YAML or JSON text.

    Raises:
        ConfigError: The text cannot be parsed, or has mistakes; lists all of them.
    """
    # Scalars stay text: a plate may be called 001.
    values = parse_mapping(text, where, ConfigError, as_text=True)
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*problems_of(error, where, Profile)) from error


def may_continue(submitted: int, failed: int, lost: int, failed_share: float) -> bool:
    """Whether the next step may start after a step with these counts. Pure.

    With even one lost job, the step is incomplete.
    """
    # A division is exact enough here; 0.29 * 100 would be less than 29.
    return not lost and failed / max(submitted, 1) <= failed_share
