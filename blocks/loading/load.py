"""Reading a run config, a fleet template or a job file from where the user keeps it.

Prefect is imported only where a saved block is named, or a config has credentials of its own.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from blocks.credentials.identity import Credentials, DefaultCredentials
from blocks.dcp_compat.config_py import is_dcp_config, read_dcp_config
from blocks.errors import ConfigError, Problem
from blocks.fields import GROUPS, extra_of
from blocks.fleet_template.model import FleetTemplate
from blocks.fleet_template.spot_fleet_request import is_spot_fleet
from blocks.job_file.model import JobFile, parse_job_file
from blocks.loading.sources import is_block_name, load_block, read_text
from blocks.run_config.fields import RETIRED
from blocks.run_config.model import RunConfig
from blocks.validation_errors import problems_of, retired_key, unknown_key
from blocks.yaml_json import parse_mapping

M = TypeVar("M", bound=BaseModel)


def load_credentials(block: str | None, profile: str | None = None) -> Credentials:
    """Who calls AWS: a saved block of credentials, else what AWS tools find by themselves.

    Args:
        block: Name of an AwsCredentials block.
        profile: Where no block is named, a profile of the AWS configuration files.

    Raises:
        ConfigError: The block was saved with values that are wrong.
        NotFound: It does not exist.
    """
    if not block:
        return DefaultCredentials(profile_name=profile)
    from blocks.prefect_blocks import AwsCredentials

    return load_block(AwsCredentials, block, or_file=False)


def load_config(source: str, credentials: str | None = None) -> RunConfig:
    """The run config at a source.

    Args:
        source: Block name, path or `s3://` address.
        credentials: Name of an AwsCredentials block; it reads an `s3://` source and takes the
            place of the config's own aws_credentials.

    Raises:
        ConfigError: The config is wrong.
        NotFound: It is not there.
        AwsRefused: AWS has no credentials, or refuses them.
    """
    given = load_credentials(credentials) if credentials else None
    config: RunConfig
    if is_block_name(source):
        from blocks.prefect_blocks import RunConfigBlock

        config = load_block(RunConfigBlock, source)
    else:
        config = parse_config(read_text(source, given), source)
    return config.model_copy(update={"aws_credentials": given}) if given else config


def load_fleet(source: str | None, credentials: Credentials | None = None) -> FleetTemplate:
    """The fleet template at a source; with none, one that leaves everything out.

    Raises:
        ConfigError: The template is wrong.
        NotFound: It is not there.
        AwsRefused: AWS has no credentials, or refuses them.
    """
    if not source:
        return FleetTemplate()
    if is_block_name(source):
        from blocks.prefect_blocks import FleetTemplateBlock

        return load_block(FleetTemplateBlock, source)
    return parse_fleet(read_text(source, credentials), source)


def load_job(source: str, credentials: Credentials | None = None) -> JobFile:
    """The job file at a source.

    Args:
        source: Block name, path or `s3://` address. A file of groups that it names is looked for
            beside it.
        credentials: Read an `s3://` source.

    Raises:
        InputError: The job file is wrong or not there.
    """

    def read(name: str) -> str:
        return read_text(_beside(source, name), credentials)

    return parse_job_file(load_job_text(source, credentials), source, read)


def _beside(source: str, name: str) -> str:
    if "://" in name or is_block_name(source):
        return name
    if source.startswith("s3://"):
        return f"{source.rpartition('/')[0]}/{name}"
    return str(Path(source).parent / name)


def load_job_text(source: str, credentials: Credentials | None = None) -> str:
    """The text of the job file at a source.

    Raises:
        NotFound: It is not there.
        AwsRefused: AWS has no credentials, or refuses them.
    """
    if is_block_name(source):
        from blocks.prefect_blocks import JobFileBlock

        return load_block(JobFileBlock, source).text
    return read_text(source, credentials)


def parse_config(
    text: str,
    where: str,
    *,
    without: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The run config in a text: YAML or JSON, with its keys flat or in sections, or DCP's.

    A text as `aws_credentials` is the name of a block, which is loaded.

    Args:
        text: The text.
        where: The name of the file; one that ends in .py is a config.py of DCP, which is not run.
        without: Keys that are not looked at.
        defaults: Settings for keys that the text does not have.

    Raises:
        ConfigError: The text cannot be read, or a setting is wrong; all problems are named.
    """

    def config(values: Mapping[str, Any]) -> RunConfig:
        seen = {key: value for key, value in values.items() if key not in without}
        return _config({**(defaults or {}), **seen}, where)

    if not is_dcp_config(where):
        return config(_flatten(parse_mapping(text, where, ConfigError), where))
    settings = read_dcp_config(text, where)
    try:
        return config(settings.values)
    except ConfigError as error:
        raise ConfigError(*settings.in_its_words(error.problems)) from error


def _config(values: dict[str, Any], where: str) -> RunConfig:
    credentials = values.get("aws_credentials")
    if credentials is None:
        return _validated(RunConfig, values, where)
    from blocks.prefect_blocks import AwsCredentials, RunConfigBlock

    if isinstance(credentials, str):
        values["aws_credentials"] = load_block(AwsCredentials, credentials, or_file=False)
    elif isinstance(credentials, dict):
        _refuse_unknown(AwsCredentials, credentials, where, "aws_credentials")
    return _validated(RunConfigBlock, values, where)


def parse_fleet(text: str, where: str) -> FleetTemplate:
    """The fleet template in a YAML or JSON text, or a fleet file of DCP as it is.

    Raises:
        ConfigError: The text cannot be read, or a value is wrong; all problems are named.
    """
    values = parse_mapping(text, where, ConfigError)
    if is_spot_fleet(values):
        values = {"spot_fleet_request": values}
    return _validated(FleetTemplate, values, where)


def _flatten(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The settings of all sections in one mapping, each checked to stand in its own section."""
    flat: dict[str, Any] = {}
    problems: list[Problem] = []

    def take(key: str, value: Any, place: str) -> None:
        if key in flat:
            problems.append(Problem(where, place, "occurs twice", remedy="Keep one of them."))
        if key in RETIRED:
            problems.append(retired_key(RETIRED[key]).at(where, place))
        flat[key] = value

    for key, value in values.items():
        if key not in GROUPS:
            take(key, value, key)
        elif not isinstance(value, dict):
            problems.append(Problem(where, key, "is a section and must hold keys"))
        else:
            for inner, setting in value.items():
                problems.extend(_misplaced(key, str(inner), where))
                take(str(inner), setting, f"{key}.{inner}")
    if problems:
        raise ConfigError(*problems)
    return flat


def _misplaced(section: str, key: str, where: str) -> list[Problem]:
    field = RunConfig.model_fields.get(key)
    if key in RETIRED:
        return []
    if field is None:
        own = [k for k, f in RunConfig.model_fields.items() if extra_of(f)["group"] == section]
        return [unknown_key(key, own).at(where, f"{section}.{key}")]
    right = extra_of(field)["group"]
    if right == section:
        return []
    return [
        Problem(
            where,
            f"{section}.{key}",
            "stands in the wrong section",
            remedy=f"Write it under {right}, or without a section.",
        )
    ]


def _refuse_unknown(model: type[BaseModel], values: Any, where: str, place: str) -> None:
    """prefect-aws's models take unknown keys in silence; a misspelt key must not be lost."""
    problems = [
        unknown_key(key, model.model_fields).at(where, f"{place}.{key}")
        for key in values
        if key not in model.model_fields and key != "block_type_slug"
    ]
    if problems:
        raise ConfigError(*problems)
    for key, field in model.model_fields.items():
        nested = field.annotation
        inner = values.get(key)
        if isinstance(nested, type) and issubclass(nested, BaseModel) and isinstance(inner, dict):
            _refuse_unknown(nested, inner, where, f"{place}.{key}")


def _validated(model: type[M], values: dict[str, Any], where: str) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*problems_of(error, where, model)) from error
