"""Options shared by several commands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from blocks.credentials.identity import DefaultCredentials
    from blocks.errors import Problem
    from tasks.runs.run import Run

if TYPE_CHECKING:
    Source = str
else:
    Source = str | Path  # values stay text; the type Path makes shells complete file names

AppName = Annotated[str, Parameter(name="APP", help="name of the app (app_name)")]
Config = Annotated[
    Source, Parameter(metavar="SOURCE", help="run config: file, s3:// address or block name")
]
Job = Annotated[
    Source, Parameter(metavar="SOURCE", help="job file: file, s3:// address or block name")
]
Fleet = Annotated[
    Source | None,
    Parameter(
        metavar="SOURCE",
        help="fleet template, or a fleet file of DCP: file, s3:// address or block name",
    ),
]
Plates = Annotated[
    tuple[str, ...],
    Parameter(
        metavar="PLATE",
        consume_multiple=(1, None),
        help="plate (default: those of the job file); repeat the option for several",
    ),
]

OPTIONS = {"app_name": "APP", "aws_region": "--region", "aws_bucket": "--bucket"}
"""Names of keys of the run config on the command line."""

CHANGES = Group("Changes to the run (default: as before)", sort_key=1)
ACCESS = Group("How Prefect's worker reaches the run", sort_key=2)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AwsOptions:
    """Credentials and region for AWS.

    Attributes:
        region: AWS region (default: that of the profile, else us-east-1)
        profile: profile of the AWS configuration files
    """

    region: Annotated[str | None, Parameter(metavar="REGION")] = None
    profile: Annotated[str | None, Parameter(metavar="PROFILE")] = None

    def credentials_and_region(
        self, app: str | None = None, buckets: Sequence[str] = ()
    ) -> "tuple[DefaultCredentials, str]":
        """The credentials and the region.

        Args:
            app: The app on the command line, to be checked.
            buckets: The buckets on the command line, to be checked.

        Raises:
            InputError: A name is invalid, or there are no credentials.
        """
        from blocks.credentials.identity import DefaultCredentials
        from blocks.credentials.sessions import region_of, session_of
        from blocks.errors import no_credentials
        from tasks.runs.lookup import asking

        credentials = DefaultCredentials(profile_name=self.profile)
        region = self.region or region_of(credentials)
        for bucket in buckets or ["any-bucket"]:
            asking(app or "any-app", credentials, region, bucket, OPTIONS)
        if session_of(credentials).get_credentials() is None:
            raise no_credentials("pass --profile NAME")
        return credentials, region


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions(AwsOptions):
    """Finds a run by the name of its app.

    Attributes:
        run: id of the run (default: the app's newest run)
        bucket: bucket with the run record, aws_bucket (default: search all buckets)
    """

    run: Annotated[str | None, Parameter(metavar="RUN_ID")] = None
    bucket: Annotated[str | None, Parameter(metavar="BUCKET")] = None

    def find(self, app: str) -> "Run":
        """The run of an app.

        Raises:
            InputError: The run was not found, or AWS refuses the credentials.
        """
        from tasks.runs.lookup import locate

        return locate(app, *self.of_app(app), self.bucket, self.run)

    def of_app(self, app: str) -> "tuple[DefaultCredentials, str]":
        """The credentials and the region for an app.

        Raises:
            InputError: A name is invalid, or there are no credentials.
        """
        return self.credentials_and_region(app, (self.bucket,) if self.bucket else ())


@Parameter(name="*", group=CHANGES)
@dataclass(frozen=True, kw_only=True)
class ChangeOptions:
    """Changes to a run's settings and fleet.

    Attributes:
        memory: memory of each container, in MB
        settings: a key of the run config, such as max_hours=24; repeat the option for several
    """

    memory: Annotated[int | None, Parameter(metavar="MB")] = None
    settings: Annotated[tuple[str, ...], Parameter(name="--set", metavar="KEY=VALUE")] = ()
    fleet: Fleet = None

    def changed_settings(self) -> dict[str, Any]:
        """The changed keys of the run config.

        Raises:
            InputError: A setting is not KEY=VALUE, or is not valid in a run config.
        """
        from blocks.errors import InputError, Problem
        from tasks.runs.open_run import check_settings

        changed: dict[str, Any] = {} if self.memory is None else {"memory": self.memory}
        for text in self.settings:
            key, equals, value = text.partition("=")
            if not (key and equals):
                raise InputError(
                    Problem("--set", "", "is not a setting", got=repr(text), allowed="KEY=VALUE")
                )
            changed[key] = _yaml(value, f"--set {key}")
        try:
            check_settings(changed, "--set")
        except InputError as error:
            raise InputError(*map(self._as_typed, error.problems)) from error
        return changed

    def _as_typed(self, problem: "Problem") -> "Problem":
        """A problem of a setting as a problem of the option on the command line."""
        if problem.key != "memory" or any(text.startswith("memory=") for text in self.settings):
            return problem
        return replace(problem, where="--memory", key="")


def _yaml(text: str, option: str) -> Any:
    """The value of an option, parsed as YAML."""
    import yaml

    from blocks.errors import InputError, Problem
    from blocks.validation_errors import display_text

    try:
        return yaml.safe_load(text)
    # PyYAML's own constructors raise the last two for some values.
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, IndexError) as error:
        remedy = "Write the value as in the run config: 24, true, m5.xlarge, [a, b]."
        raise InputError(
            Problem(option, "", "is not a YAML value", display_text(text), remedy=remedy)
        ) from error


@Parameter(name="*", group=ACCESS)
@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """How Prefect's worker reaches a run.

    Attributes:
        config: run config that the run was started with (default: its record in S3)
        credentials: name of an AwsCredentials block
    """

    config: Annotated[Source | None, Parameter(metavar="SOURCE")] = None
    credentials: Annotated[str | None, Parameter(metavar="BLOCK")] = None
