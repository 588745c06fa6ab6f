"""A profile: standard steps that follow each other, each with settings and sizes of its own."""

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
    """One step of a profile: a run of its own."""

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
    """A step as it will be run.

    Attributes:
        name: The step.
        app: The name of its app, as DCP names it.
        job: Its job file.
        settings: Keys of the run config, among them the app's name.
    """

    name: str
    app: str
    job: JobFile
    settings: dict[str, Any]


class Profile(BaseModel):
    """The steps from images to measurements, in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: dict[str, Any] = Field(
        description="Keys of the job file that all steps share: identifier, batch, plates …"
    )
    steps: list[ProfileStep] = Field(min_length=1, description="The steps, in their order.")
    failed_share: float = Field(
        default=0,
        ge=0,
        le=0.99,
        description="The part of a step's jobs that may fail (0.05 is one in twenty) without "
        "keeping the next step from starting.",
    )

    @field_validator("job")
    @classmethod
    def _of_all_steps(cls, job: dict[str, Any]) -> dict[str, Any]:
        if "step" in job:
            raise Refusal("holds the key step", remedy="Write it in the list of steps.")
        if not job.get("identifier"):
            raise Refusal("has no identifier", remedy="Write it: it is part of every path.")
        return job

    def planned(self, where: str = "profile") -> tuple[PlannedStep, ...]:
        """The steps with their job files.

        Args:
            where: Its name, for messages.

        Raises:
            JobFileError: The keys of a step make no job file; all problems are named.
        """
        steps: list[PlannedStep] = []
        problems: list[Problem] = []
        for number, one in enumerate(self.steps, 1):
            values = self.job | one.job | {"step": one.step}
            try:
                job = validated(values, f"{where}: steps[{number}] ({one.step})")
            except JobFileError as error:
                problems += error.problems
                continue
            app = app_of(job.identifier, job.app_suffix)
            # A queue of its own, whatever the config says: two runs cannot share one.
            own = {"app_name": app, "sqs_queue_name": None} | one.settings
            steps.append(PlannedStep(one.step, str(own["app_name"]), job, own))
        if problems:
            raise JobFileError(*problems)
        return tuple(steps)


def parse_profile(text: str, where: str) -> Profile:
    """The profile in a YAML or JSON text.

    Raises:
        ConfigError: The text cannot be read, or something in it is wrong; all is named.
    """
    # As it is written: a plate may be called 001.
    values = parse_mapping(text, where, ConfigError, as_text=True)
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*problems_of(error, where, Profile)) from error


def goes_on(submitted: int, failed: int, lost: int, failed_share: float) -> bool:
    """Whether the next step may start after a step that ended so (pure).

    Jobs without a result mean that the step is not complete, however few they are.
    """
    # Divided: 0.29 * 100 is less than 29.
    return not lost and failed / max(submitted, 1) <= failed_share
