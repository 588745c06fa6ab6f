"""Opening a run from its config and id, so that steps can work on it."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from blocks import Profile, RunConfig
from blocks.credentials.identity import Credentials
from blocks.errors import ConfigError, Problem
from blocks.job_file.profile import parse_profile
from blocks.loading.load import load_config
from blocks.loading.sources import is_block_name, load_block, read_text
from blocks.run_config.fields import RETIRED, RunConfigFields
from blocks.validation_errors import problems_of, retired_key
from tasks.aws.clients import Aws
from tasks.runs import record
from tasks.runs.run import Run

C = TypeVar("C", bound=RunConfigFields)

Settings = Mapping[str, Any] | None
"""Keys of the run config to override."""

NAMING = ("app_name", "aws_bucket", "aws_region", "aws_profile")  # by which a run is found


def naming(settings: Settings) -> Settings:
    """The settings that identify the app."""
    return {key: value for key, value in (settings or {}).items() if key in NAMING}


def check_settings(settings: Settings, where: str) -> None:
    """Check keys and values one by one, as far as possible without the run config.

    Args:
        settings: Keys of the run config, flat.
        where: Name of the settings in messages.

    Raises:
        ConfigError: A key is unknown or its value wrong; all are named.
    """
    any_run = RunConfigFields(app_name="any", aws_bucket="any-bucket", dockerhub_tag="any")
    with_settings(any_run, settings, where)


def with_settings(config: C, settings: Settings, where: str = "settings") -> C:
    """Override keys of a config, and validate it as a whole.

    Args:
        config: The run config.
        settings: Keys of the run config, flat.
        where: Name of the settings in messages.

    Raises:
        ConfigError: A key is unknown or its value wrong; all are named.
    """
    if not settings:
        return config
    if "aws_credentials" in settings:
        # As parameters of the flow run, they would be visible to everybody.
        remedy = "Name an AwsCredentials block in the parameter `credentials`."
        raise ConfigError(Problem(where, "aws_credentials", "are not allowed here", remedy=remedy))
    if retired := RETIRED.keys() & settings.keys():
        raise ConfigError(*(retired_key(RETIRED[key]).at(where, key) for key in sorted(retired)))
    own = {
        key: getattr(config, key) for key in RunConfig.model_fields.keys() & config.model_fields_set
    }
    try:
        return type(config)(**own | dict(settings))
    except ValidationError as error:
        raise ConfigError(*problems_of(error, where, RunConfig)) from error


def open_new(
    config: str, run_id: str, credentials: str | None = None, settings: Settings = None
) -> Run:
    """Open a run from its config; it need not exist yet.

    Args:
        config: Block name, path or `s3://` address of the run config.
        run_id: The id of the run.
        credentials: Name of an AwsCredentials block to use instead of the config's own.
        settings: Keys of the run config to override.

    Raises:
        InputError: The config is wrong or was not found.
    """
    chosen = with_settings(load_config(config, credentials), settings)
    return Run(chosen, run_id, Aws.connect(chosen.credentials, chosen.aws_region))


def open_existing(
    config: str, run_id: str | None, credentials: str | None = None, settings: Settings = None
) -> Run:
    """Open an existing run with its recorded settings.

    Args:
        config: As for `open_new`; names the app and its bucket.
        run_id: The id of the run; None for the app's newest.
        credentials: As for `open_new`.
        settings: As for `open_new`; only those that identify the app count, so that mistakes in
            others do not prevent a clean-up.

    Raises:
        InputError: The config is wrong, or config or run were not found.
    """
    asking = open_new(config, "", credentials, naming(settings))
    return record.find(asking.aws, asking.config, run_id)


def open_profile(profile: str, credentials: Credentials | None = None) -> Profile:
    """Load a profile, as `blocks.loading.load.load_job` loads a job file.

    Raises:
        InputError: The profile is wrong or was not found.
    """
    if is_block_name(profile):
        from blocks.prefect_blocks import ProfileBlock

        return load_block(ProfileBlock, profile)
    return parse_profile(read_text(profile, credentials), profile)
