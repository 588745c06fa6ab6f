"""The worker's settings: the environment of the task definition as one frozen value.

Each setting has the name of its key in the run config. docs/contract.schema.json
(`worker_settings`) keeps this table and the flows' table consistent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from boto3.s3.transfer import S3Transfer

# SQS hides a message for at most 12 hours, counted from its receipt and not reset by extensions
# ("Amazon SQS visibility timeout", Amazon SQS Developer Guide).
LONGEST_INVISIBILITY = 12 * 3600


class SettingsError(Exception):
    """The environment is not valid for a worker; the text names every invalid variable."""


@dataclass(frozen=True)
class Variable:
    """An environment variable and how its text becomes a setting.

    Attributes:
        name: Name of the variable.
        parse: Converts the text; raises ValueError with an explanation.
        default: Text for a variable that is unset or empty; None: the variable is required.
        fallback: The setting whose value replaces an empty one.
    """

    name: str
    parse: Callable[[str], object]
    default: str | None = None
    fallback: str = ""

    def read(self, environment: Mapping[str, str], settings: Mapping[str, object]) -> object:
        """The value of the setting.

        Args:
            environment: Environment of the container.
            settings: Settings read so far.

        Raises:
            ValueError: The variable is missing or its value is not allowed.
        """
        text = environment.get(self.name, "").strip() or self.default
        if text is None:
            raise ValueError(f"{self.name} is not set; it must be set in the task definition.")
        try:
            value = self.parse(text)
        except ValueError as error:
            raise ValueError(f"{self.name} is {text!r}; {error}.") from error
        return settings.get(self.fallback) if self.fallback and not value else value


def _text(text: str) -> str:
    return text


def _bucket(text: str) -> str:
    """Convert 'False', which DCP's config has for an unset bucket, to an empty name."""
    return "" if text.lower() == "false" else text


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("allowed are 'True' and 'False'")
    return text.lower() == "true"


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("it must be a whole number") from None
        if not low <= value <= high:
            raise ValueError(f"allowed are {low} to {high}")
        return value

    return parse


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"allowed are {', '.join(allowed)}")
        return text

    return parse


def _upload_arguments(text: str) -> dict[str, object]:
    """Parse a JSON object of upload arguments (boto3's ExtraArgs)."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    unknown = sorted(value.keys() - set(S3Transfer.ALLOWED_UPLOAD_ARGS))
    if unknown:
        allowed = ", ".join(S3Transfer.ALLOWED_UPLOAD_ARGS)
        raise ValueError(f"it contains {', '.join(unknown)}; allowed are {allowed}")
    return value


def _read(
    name: str, parse: Callable[[str], object], default: str | None = None, fallback: str = ""
) -> Any:
    """A field whose value comes from an environment variable."""
    return field(metadata={"variable": Variable(name, parse, default, fallback)})


@dataclass(frozen=True)
class Settings:
    """The settings of the worker. Times in seconds, memory in MB.

    Attributes:
        stop_seconds: Time from SIGTERM to SIGKILL, and from a Spot interruption notice to the end
            of the machine.
        idle_seconds: The machine terminates itself after this time without any message.
        idle_action: Action of the idle alarm on the machine.
        docker_cores: Number of slots, each with its own CellProfiler.
        seconds_to_start: Delay between the starts of two slots.
        memory: Memory of the container.
        warm: Keep CellProfiler loaded between jobs; False: run its command line for each job.
        no_sign_request: The source bucket is public; read it without credentials.
        check_if_done_bool: Skip a job by its outputs alone: at least `expected_number_files` files
            of at least `min_file_size_bytes` with `necessary_string` in their names.
        check_if_done_exact: Skip a job if an earlier run recorded its success with the same
            pipeline and CSV, and its outputs still exist.
        requirements: pip's arguments after `-e .` (an extra such as `.[cellpose]`), or the
            requirements file in the plugins' old layout.
        upload_arguments: Arguments of boto3's uploads of outputs (ExtraArgs).
    """

    aws_region: str = _read("AWS_REGION", _text)
    app_name: str = _read("APP_NAME", _text)
    run_id: str = _read("RUN_ID", _text)
    ecs_cluster: str = _read("ECS_CLUSTER", _text)
    ecs_service: str = _read("ECS_SERVICE", _text)
    log_group_name: str = _read("LOG_GROUP_NAME", _text)

    sqs_queue_url: str = _read("SQS_QUEUE_URL", _text)
    sqs_dead_letter_queue_url: str = _read("SQS_DEAD_LETTER_QUEUE_URL", _text)
    sqs_message_visibility: int = _read("SQS_MESSAGE_VISIBILITY", _whole(3, LONGEST_INVISIBILITY))
    job_retries: int = _read("JOB_RETRIES", _whole(1, 1000))
    job_timeout: int = _read("JOB_TIMEOUT", _whole(1, LONGEST_INVISIBILITY))

    stop_seconds: int = _read("STOP_SECONDS", _whole(1, 3600))
    idle_seconds: int = _read("IDLE_SECONDS", _whole(1, 86_400))
    idle_action: str = _read("IDLE_ACTION", _one_of("terminate", "reboot"))
    docker_cores: int = _read("DOCKER_CORES", _whole(1, 1024))
    seconds_to_start: int = _read("SECONDS_TO_START", _whole(0, 3600))
    memory: int = _read("MEMORY", _whole(1, 2**40))

    aws_bucket: str = _read("AWS_BUCKET", _text)
    source_bucket: str = _read("SOURCE_BUCKET", _bucket, "", "aws_bucket")
    workspace_bucket: str = _read("WORKSPACE_BUCKET", _bucket, "", "source_bucket")
    destination_bucket: str = _read("DESTINATION_BUCKET", _bucket, "", "aws_bucket")
    download_files: bool = _read("DOWNLOAD_FILES", _flag)
    no_sign_request: bool = _read("NO_SIGN_REQUEST", _flag)
    upload_arguments: Mapping[str, object] = _read("UPLOAD_OPTIONS", _upload_arguments, "{}")

    check_if_done_bool: bool = _read("CHECK_IF_DONE_BOOL", _flag)
    check_if_done_exact: bool = _read("CHECK_IF_DONE_EXACT", _flag)
    expected_number_files: int = _read("EXPECTED_NUMBER_FILES", _whole(1, 1_000_000))
    min_file_size_bytes: int = _read("MIN_FILE_SIZE_BYTES", _whole(0, 2**50))
    necessary_string: str = _read("NECESSARY_STRING", _text, "")

    warm: bool = _read("WARM", _flag)
    always_continue: bool = _read("ALWAYS_CONTINUE", _flag)
    use_plugins: bool = _read("USE_PLUGINS", _flag)
    update_plugins: bool = _read("UPDATE_PLUGINS", _flag, "False")
    plugins_commit: str = _read("PLUGINS_COMMIT", _text, "")
    install_requirements: bool = _read("INSTALL_REQUIREMENTS", _flag, "False")
    requirements: str = _read("REQUIREMENTS", _text, "")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables of the task definition.

        Raises:
            SettingsError: Variables are missing or invalid; the text names all of them.
        """
        settings: dict[str, Any] = {}
        problems: list[str] = []
        for setting in fields(cls):
            variable: Variable = setting.metadata["variable"]
            try:
                settings[setting.name] = variable.read(environment, settings)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise SettingsError("\n".join(problems))
        return cls(**settings)
