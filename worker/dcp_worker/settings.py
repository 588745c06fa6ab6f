"""The worker's settings: the environment of the task definition as one frozen value."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from boto3.s3.transfer import S3Transfer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# SQS hides a message for at most 12 hours, counted from its receipt and not reset by extensions
# ("Amazon SQS visibility timeout", Amazon SQS Developer Guide).
LONGEST_INVISIBILITY = 12 * 3600
DEFAULT_JOB_TIMEOUT = 41400
# From SIGTERM to SIGKILL, unless the task definition says otherwise ("stopTimeout"); the notice of
# a spot interruption comes as long before the end of the machine.
DEFAULT_STOP_SECONDS = 120
IDLE_ACTIONS = ("terminate", "reboot")


class SettingsError(Exception):
    """The environment does not make a worker; the text names every variable that is wrong."""


@dataclass(frozen=True)
class SkipRule:
    """When a job counts as done already: what its output folder must hold (DCP's CHECK_IF_DONE).

    Attributes:
        files: At least so many files.
        bytes: A file counts only with at least so many bytes.
        name_part: A file counts only when its name contains this text; empty: every file.
    """

    files: int
    bytes: int
    name_part: str


@dataclass(frozen=True)
class Plugins:
    """What to do with the checkout of CellProfiler-plugins before the first job.

    Attributes:
        update: Fetch from its remote first.
        commit: Branch, tag or commit to check out; empty: as it is in the image.
        install: Install the plugins' Python requirements.
        requirements: What pip is given after `-e .` (an extra such as `.[cellpose]`), or the
            requirements file of the old layout.
    """

    update: bool
    commit: str
    install: bool
    requirements: str


@dataclass(frozen=True)
class Settings:
    """Everything the worker is told. Times in seconds.

    Attributes:
        warm: CellProfiler stays loaded between jobs; False: its command line is run for each job.
        memory_mb: Memory of the container in MB; 0 when it is not known.
        stop_seconds: From SIGTERM to SIGKILL.
        idle_seconds: After so long without a message anywhere the machine ends itself.
        idle_action: What the idle alarm does with the machine: terminate or reboot.
        unsigned: The source bucket is public and read without credentials.
        skip_rule: When outputs alone make a job count as done; None: they never do.
        skip_recorded: A job counts as done when an earlier run has recorded its success with the
            same pipeline and CSV, and its outputs are there.
        upload_arguments: How outputs are stored, as boto3's uploads take it (ExtraArgs).
    """

    region: str
    app_name: str
    run_id: str
    cluster: str
    service: str
    queue_url: str
    dead_letter_queue_url: str
    visibility: int
    job_retries: int
    job_timeout: int
    stop_seconds: int
    idle_seconds: int
    idle_action: str
    slots: int
    seconds_to_start: float
    warm: bool
    memory_mb: int
    bucket: str
    source_bucket: str
    workspace_bucket: str
    destination_bucket: str
    log_group: str
    download_files: bool
    unsigned: bool
    always_continue: bool
    skip_rule: SkipRule | None
    skip_recorded: bool
    plugins: Plugins | None
    upload_arguments: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables of the task definition.

        Raises:
            SettingsError: Variables are missing or have values that are not allowed; all are named.
        """
        read = _Reader(environment)
        bucket = read.text("AWS_BUCKET")
        source = read.bucket("SOURCE_BUCKET", bucket)
        settings = cls(
            region=read.text("AWS_REGION"),
            app_name=read.text("APP_NAME"),
            run_id=read.text("RUN_ID"),
            cluster=read.text("ECS_CLUSTER", ""),
            service=read.text("ECS_SERVICE", ""),
            queue_url=read.text("SQS_QUEUE_URL"),
            dead_letter_queue_url=read.text("SQS_DEAD_LETTER_QUEUE_URL"),
            visibility=read.integer("SQS_MESSAGE_VISIBILITY", 3, LONGEST_INVISIBILITY),
            job_retries=read.integer("JOB_RETRIES", 1, 1000),
            job_timeout=read.integer("JOB_TIMEOUT", 1, LONGEST_INVISIBILITY, DEFAULT_JOB_TIMEOUT),
            stop_seconds=read.integer("STOP_SECONDS", 1, 3600, DEFAULT_STOP_SECONDS),
            idle_seconds=read.integer("IDLE_SECONDS", 1, 86400, 600),
            idle_action=read.choice("IDLE_ACTION", IDLE_ACTIONS),
            slots=read.integer("DOCKER_CORES", 1, 1024),
            seconds_to_start=read.integer("SECONDS_TO_START", 0, 3600, 0),
            warm=read.flag("WARM", "True"),
            memory_mb=read.integer("MEMORY", 0, 2**40, 0),
            bucket=bucket,
            source_bucket=source,
            workspace_bucket=read.bucket("WORKSPACE_BUCKET", source),
            destination_bucket=read.bucket("DESTINATION_BUCKET", bucket),
            log_group=read.text("LOG_GROUP_NAME"),
            download_files=read.flag("DOWNLOAD_FILES"),
            unsigned=read.flag("NO_SIGN_REQUEST"),
            always_continue=read.flag("ALWAYS_CONTINUE"),
            skip_rule=_skip_rule(read),
            skip_recorded=read.flag("CHECK_IF_DONE_EXACT"),
            plugins=_plugins(read),
            upload_arguments=read.upload_arguments("UPLOAD_OPTIONS"),
        )
        if read.wrong:
            raise SettingsError("\n".join(read.wrong))
        return settings


def _skip_rule(read: _Reader) -> SkipRule | None:
    rule = SkipRule(
        files=read.integer("EXPECTED_NUMBER_FILES", 1, 1_000_000, 1),
        bytes=read.integer("MIN_FILE_SIZE_BYTES", 0, 2**50, 1),
        name_part=read.text("NECESSARY_STRING", ""),
    )
    return rule if read.flag("CHECK_IF_DONE_BOOL") else None


def _plugins(read: _Reader) -> Plugins | None:
    plugins = Plugins(
        update=read.flag("UPDATE_PLUGINS"),
        commit=read.text("PLUGINS_COMMIT", ""),
        install=read.flag("INSTALL_REQUIREMENTS"),
        requirements=read.text("REQUIREMENTS", ""),
    )
    return plugins if read.flag("USE_PLUGINS") else None


class _Reader:
    """Reads variables and collects what is wrong with them, so that one start names it all."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.wrong: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        value = self.environment.get(name, "").strip()
        if not value and default is None:
            self.wrong.append(f"{name} is not set; it must be set in the task definition.")
        return value or default or ""

    def bucket(self, name: str, default: str) -> str:
        """DCP's config writes 'False' for a bucket that is not given."""
        value = self.text(name, "")
        return default if value.lower() in ("", "false") else value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        text = self.text(name, None if default is None else str(default))
        try:
            value = int(text)
        except ValueError:
            if text:
                self.wrong.append(f"{name} is {text!r}; it must be a whole number.")
            return low
        if not low <= value <= high:
            self.wrong.append(f"{name} is {value}; allowed are {low} to {high}.")
        return value

    def flag(self, name: str, default: str = "False") -> bool:
        text = self.text(name, default)
        if text.lower() not in ("true", "false"):
            self.wrong.append(f"{name} is {text!r}; allowed are 'True' and 'False'.")
        return text.lower() == "true"

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        text = self.text(name, allowed[0])
        if text not in allowed:
            self.wrong.append(f"{name} is {text!r}; allowed are {', '.join(allowed)}.")
        return text

    def upload_arguments(self, name: str) -> dict[str, object]:
        """A JSON object of arguments of an upload (boto3's ExtraArgs)."""
        try:
            value = json.loads(self.text(name, "{}"))
        except ValueError as error:
            self.wrong.append(f"{name} is not JSON: {error}.")
            return {}
        if not isinstance(value, dict):
            self.wrong.append(f"{name} is not a JSON object.")
            return {}
        unknown = sorted(value.keys() - set(S3Transfer.ALLOWED_UPLOAD_ARGS))
        if unknown:
            allowed = ", ".join(S3Transfer.ALLOWED_UPLOAD_ARGS)
            self.wrong.append(f"{name} has {', '.join(unknown)}; allowed are {allowed}.")
        return value
