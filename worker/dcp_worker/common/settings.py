"""The worker's settings: the environment of the task definition as one frozen value.

A setting has the name of its key in the run config. docs/contract.schema.json (`worker_settings`)
holds this table and the flows' to each other.
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
    """The environment does not make a worker; the text names every variable that is wrong."""


@dataclass(frozen=True)
class Variable:
    """An environment variable and how its text becomes a setting.

    Attributes:
        name: Of the variable.
        parse: From its text to the value; raises ValueError with what is wrong.
        default: The text of a variable that is not set or empty; None: it must be set.
        fallback: The setting whose value an empty text stands for.
    """

    name: str
    parse: Callable[[str], object]
    default: str | None = None
    fallback: str = ""

    def read(self, environment: Mapping[str, str], settings: Mapping[str, object]) -> object:
        """The value of the setting.

        Args:
            environment: Of the container.
            settings: Those that are read already.

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
    """DCP's config writes 'False' for a bucket that is not given."""
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
    """A JSON object of arguments of an upload (boto3's ExtraArgs)."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    unknown = sorted(value.keys() - set(S3Transfer.ALLOWED_UPLOAD_ARGS))
    if unknown:
        allowed = ", ".join(S3Transfer.ALLOWED_UPLOAD_ARGS)
        raise ValueError(f"it has {', '.join(unknown)}; allowed are {allowed}")
    return value


def _read(
    name: str, parse: Callable[[str], object], default: str | None = None, fallback: str = ""
) -> Any:
    """A field that is read from a variable."""
    return field(metadata={"variable": Variable(name, parse, default, fallback)})


@dataclass(frozen=True)
class Settings:
    """The settings of the worker. Times in seconds, memory in MB.

    Attributes:
        stop_seconds: From SIGTERM to SIGKILL; the notice of a spot interruption comes as long
            before the end of the machine.
        idle_seconds: After so long without a message anywhere the machine ends itself.
        idle_action: What the idle alarm does with the machine.
        docker_cores: The number of slots, each with a CellProfiler of its own.
        seconds_to_start: Between the starts of two slots.
        memory: Of the container.
        warm: CellProfiler stays loaded between jobs; False: its command line is run for each job.
        no_sign_request: The source bucket is public and read without credentials.
        check_if_done_bool: Outputs alone make a job count as done: at least
            `expected_number_files` files of at least `min_file_size_bytes` with
            `necessary_string` in their names.
        check_if_done_exact: A job counts as done when an earlier run has recorded its success with
            the same pipeline and CSV, and its outputs are there.
        requirements: What pip is given after `-e .` (an extra such as `.[cellpose]`), or the
            requirements file of the old layout of the plugins.
        upload_arguments: How outputs are stored, as boto3's uploads take it (ExtraArgs).
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
            SettingsError: Variables are missing or have values that are not allowed; all are named.
        """
        settings: dict[str, Any] = {}
        wrong: list[str] = []
        for one in fields(cls):
            variable: Variable = one.metadata["variable"]
            try:
                settings[one.name] = variable.read(environment, settings)
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            raise SettingsError("\n".join(wrong))
        return cls(**settings)
