"""Reads run configs, fleet templates and job files from a block, a file or S3.

Prefect is imported only if the source is a saved block, or if a config has its own credentials.
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
    """The credentials of a saved block, else the defaults of AWS tools.

    Args:
        block: Name of an AwsCredentials block.
        profile: A profile of the AWS configuration files, used without a block.

    Raises:
        ConfigError: The saved block has invalid values.
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
        credentials: Name of an AwsCredentials block; it reads an `s3://` source and replaces the
            config's own aws_credentials.

    Raises:
        ConfigError: The config is wrong.
        NotFound: It does not exist.
        AwsRefused: There are no AWS credentials, or AWS denies access.
    """
    block = load_credentials(credentials) if credentials else None
    config: RunConfig
    if is_block_name(source):
        from blocks.prefect_blocks import RunConfigBlock

        config = load_block(RunConfigBlock, source)
    else:
        config = parse_config(read_text(source, block), source)
    return config.model_copy(update={"aws_credentials": block}) if block else config


def load_fleet(source: str | None, credentials: Credentials | None = None) -> FleetTemplate:
    """The fleet template at a source; without a source, the defaults.

    Raises:
        ConfigError: The template is wrong.
        NotFound: It does not exist.
        AwsRefused: There are no AWS credentials, or AWS denies access.
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
        source: Block name, path or `s3://` address. A file of groups that it names is read from
            the same folder.
        credentials: Credentials for an `s3://` source.

    Raises:
        InputError: The job file is wrong or does not exist.
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
        NotFound: It does not exist.
        AwsRefused: There are no AWS credentials, or AWS denies access.
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
    """The run config in a text: YAML or JSON with flat keys or sections, or DCP's config.py.

    If `aws_credentials` is a text, it is the name of a block, which is loaded.

    Args:
        text: The text.
        where: The name of the file; a name that ends in .py is DCP's config.py, which is not run.
        without: Keys to ignore.
        defaults: Settings for keys that the text does not have.

    Raises:
        ConfigError: The text cannot be parsed, or a setting is wrong; lists all problems.
    """

    def config(values: Mapping[str, Any]) -> RunConfig:
        used = {key: value for key, value in values.items() if key not in without}
        return _config({**(defaults or {}), **used}, where)

    if not is_dcp_config(where):
        return config(_flatten(parse_mapping(text, where, ConfigError), where))
    settings = read_dcp_config(text, where)
    try:
        return config(settings.values)
    except ConfigError as error:
        raise ConfigError(*settings.in_dcp_terms(error.problems)) from error


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
    """The fleet template in a YAML or JSON text, or an unchanged fleet file of DCP.

    Raises:
        ConfigError: The text cannot be parsed, or a value is wrong; lists all problems.
    """
    values = parse_mapping(text, where, ConfigError)
    if is_spot_fleet(values):
        values = {"spot_fleet_request": values}
    return _validated(FleetTemplate, values, where)


def _flatten(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The settings of all sections in one mapping; checks that each is in its own section."""
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
            problems.append(Problem(where, key, "is a section and must contain keys"))
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
            "is in the wrong section",
            remedy=f"Write it under {right}, or without a section.",
        )
    ]


def _refuse_unknown(model: type[BaseModel], values: Any, where: str, place: str) -> None:
    """prefect-aws's models silently accept unknown keys, such as misspelt ones."""
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
