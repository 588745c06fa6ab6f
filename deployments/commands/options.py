"""Options that several commands have, each declared once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from blocks.identity import DefaultCredentials
    from tasks.run import Run

AppName = Annotated[str, Parameter(name="APP", help="name of the app (app_name)")]
Config = Annotated[
    str, Parameter(metavar="SOURCE", help="run config: file, s3:// address or block name")
]
Job = Annotated[
    str, Parameter(metavar="SOURCE", help="job file: file, s3:// address or block name")
]
Fleet = Annotated[
    str | None,
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
        help="one or more plates (default: those of the job file)",
    ),
]

CHANGES = Group("Changes to the run (default: as before)", sort_key=1)
ACCESS = Group("How Prefect's worker reaches the run", sort_key=2)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AwsOptions:
    """Who calls AWS, and where.

    Attributes:
        region: AWS region (default: that of the profile, else us-east-1)
        profile: profile of the AWS configuration files
    """

    region: Annotated[str | None, Parameter(metavar="REGION")] = None
    profile: Annotated[str | None, Parameter(metavar="PROFILE")] = None

    def who_and_where(self) -> "tuple[DefaultCredentials, str]":
        """The credentials to call AWS with, and the region."""
        from blocks.credentials import region_of
        from blocks.identity import DefaultCredentials

        credentials = DefaultCredentials(profile_name=self.profile)
        return credentials, self.region or region_of(credentials)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions(AwsOptions):
    """How a run is found by the name of its app.

    Attributes:
        run: id of the run (default: the app's newest run)
        bucket: bucket with the run record, aws_bucket (default: search all buckets)
    """

    run: Annotated[str | None, Parameter(metavar="RUN_ID")] = None
    bucket: Annotated[str | None, Parameter(metavar="BUCKET")] = None

    def find(self, app: str) -> "Run":
        """The run of an app.

        Raises:
            InputError: It is not found, or AWS refuses the credentials.
        """
        from tasks.locate import locate

        return locate(app, *self.who_and_where(), self.bucket, self.run)


@Parameter(name="*", group=CHANGES)
@dataclass(frozen=True, kw_only=True)
class ChangeOptions:
    """What is changed of a run's settings and fleet.

    Attributes:
        memory: memory of each container, in MB
        settings: a key of the run config, such as max_hours=24; repeat the option for several
    """

    memory: Annotated[int | None, Parameter(metavar="MB")] = None
    settings: Annotated[tuple[str, ...], Parameter(name="--set", metavar="KEY=VALUE")] = ()
    fleet: Fleet = None

    def changed_settings(self) -> dict[str, Any]:
        """The keys of the run config that are changed.

        Raises:
            InputError: A setting is not of the form KEY=VALUE.
        """
        import yaml

        from blocks.errors import InputError, Problem

        changed: dict[str, Any] = {} if self.memory is None else {"memory": self.memory}
        for text in self.settings:
            key, equals, value = text.partition("=")
            if not (key and equals):
                raise InputError(
                    Problem("--set", "", "is not a setting", got=repr(text), allowed="KEY=VALUE")
                )
            changed[key] = yaml.safe_load(value)
        return changed


@Parameter(name="*", group=ACCESS)
@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """How Prefect's worker reaches a run.

    Attributes:
        config: run config that the run was started with (default: its record in S3)
        credentials: name of an AwsCredentials block
    """

    config: Annotated[str | None, Parameter(metavar="SOURCE")] = None
    credentials: Annotated[str | None, Parameter(metavar="BLOCK")] = None
