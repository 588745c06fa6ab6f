"""Rules for Distributed-CellProfiler's settings that work differently here.

Each rule keeps the meaning of a setting in DCP, or adds a remark that it cannot.
"""

import re
from collections.abc import Callable
from typing import Any

from blocks.dcp_compat.config_values import DcpSettings
from blocks.dcp_compat.remarks import Kind
from blocks.errors import Problem
from blocks.run_config.model import RunConfig

DEFAULTS: dict[str, Any] = {
    "download_files": False,
    "job_retries": 10,
    "seconds_to_start": 180,
    "create_dashboard": False,
    "clean_dashboard": False,
}
"""DCP's defaults for missing keys, where ours differ."""

NEEDED = (
    "cluster_machines",
    "tasks_per_machine",
    "machine_type",
    "machine_price",
    "ebs_vol_size",
    "docker_cores",
    "memory",
    "sqs_message_visibility",
)
"""Keys that DCP requires and that have defaults here."""

PLUGINS = ("update_plugins", "plugins_commit", "install_requirements", "requirements")

_BUCKETS = ("aws_bucket", "source_bucket", "workspace_bucket", "destination_bucket")
_EXAMPLE_BUCKETS = {"your-bucket-name", "bucket-name"}
_EXAMPLE_QUEUE = re.compile(r"user_DeadMessages|arn:aws:sqs:(some-region:\d*|[^:]*:[^\d]+):.*")
_DCPS_IMAGE = re.compile(r"([^/]+/)*distributed-cellprofiler([:@].*)?")


def translate(settings: DcpSettings) -> None:
    """Apply every rule."""
    for rule in _RULES:
        rule(settings)


def _image(settings: DcpSettings) -> None:
    image = settings.values.get("dockerhub_tag")
    remedy = "Name an image built with worker/Dockerfile."
    if isinstance(image, str) and _DCPS_IMAGE.fullmatch(image):
        mistake = "is the worker of Distributed-CellProfiler, which cannot run these jobs"
        settings.rejected["dockerhub_tag"] = Problem(
            settings.place("dockerhub_tag"), "DOCKERHUB_TAG", mistake, repr(image), remedy=remedy
        )
        settings.add_remark(Kind.FILL_IN, "dockerhub_tag", f"{image} {mistake}. {remedy}")
        del settings.values["dockerhub_tag"]
    elif image is not None:
        text = f"{image} must contain dcp's worker, not that of DCP. {remedy}"
        settings.add_remark(Kind.FILL_IN, "dockerhub_tag", text)


def _buckets(settings: DcpSettings) -> None:
    for key in _BUCKETS:
        if settings.values.get(key) in _EXAMPLE_BUCKETS:
            text = f"{settings.values[key]} is an example. Write the name of your bucket."
            settings.add_remark(Kind.FILL_IN, key, text)


def _defaults(settings: DcpSettings) -> None:
    for key, value in DEFAULTS.items():
        if key not in settings.lines:
            settings.values[key] = value
            ours = RunConfig.model_fields[key].default
            text = (
                f"is not in the file, so it is {_yaml(value)} as in DCP; dcp's default is "
                f"{_yaml(ours)}."
            )
            settings.add_remark(Kind.DIFFERS, key, text)
    for key in NEEDED:
        if key not in settings.lines:
            ours = RunConfig.model_fields[key].default
            settings.add_remark(Kind.FILL_IN, key, f"is not in the file (default: {_yaml(ours)}).")


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _download(settings: DcpSettings) -> None:
    if settings.values["download_files"] is False and "download_files" in settings.lines:
        settings.add_remark(
            Kind.DIFFERS,
            "download_files",
            "false mounts the bucket of the images, as DCP does. true, the default here, downloads "
            "the images of each job and is safer for long runs.",
        )


def _derived(settings: DcpSettings) -> None:
    """Drop derived values, so that they follow a change of the app name or the cores."""
    values = settings.values
    app = values.get("app_name", RunConfig.model_fields["app_name"].default)
    cores = values.get("docker_cores", RunConfig.model_fields["docker_cores"].default)
    follows = {"sqs_queue_name": f"{app}Queue", "log_group_name": app}
    if isinstance(cores, (int, float)):
        follows["cpu_shares"] = cores * 1024
    for key, value in follows.items():
        if values.get(key) == value:
            del values[key]


def _dead_letters(settings: DcpSettings) -> None:
    key = "sqs_dead_letter_queue"
    queue = settings.values.get(key)
    if not isinstance(queue, str):
        return
    name = re.split(r"[:/]", queue)[-1]
    if name != queue:
        settings.values[key] = name
        text = (
            f"is the queue {name} in the region and account of the run; it is created if it does "
            "not exist. The region and account of an ARN are not used."
        )
        settings.add_remark(Kind.DIFFERS, key, text)
    if _EXAMPLE_QUEUE.fullmatch(queue):
        text = f"{name} is an example. Write your own name, or remove it."
        settings.add_remark(Kind.FILL_IN, key, text)


def _retries(settings: DcpSettings) -> None:
    if "job_retries" in settings.lines:
        settings.add_remark(
            Kind.DIFFERS,
            "job_retries",
            "counts only failed attempts. Here, an interruption of the machine does not count.",
        )


def _visibility(settings: DcpSettings) -> None:
    settings.add_remark(
        Kind.DIFFERS,
        "sqs_message_visibility",
        "need not be as long as a job: workers extend it while they run a job. It is how soon the "
        "job of a lost machine is retried.",
    )


def _account(settings: DcpSettings) -> None:
    profile = settings.values.get("aws_profile")
    if profile is None:
        return
    settings.add_remark(
        Kind.DIFFERS,
        "aws_profile",
        "is used only where the flow runs. The machines get none of its keys: they use the role of "
        "their instance profile.",
    )
    if profile == "default":  # AWS tools use it by default
        del settings.values["aws_profile"]


def _skipping(settings: DcpSettings) -> None:
    if settings.values.get("check_if_done_bool"):
        settings.add_remark(
            Kind.DIFFERS,
            "check_if_done_bool",
            "checks only the names of the outputs. check_if_done_exact: true also checks whether "
            "pipeline and CSV are unchanged.",
        )


def _plugins(settings: DcpSettings) -> None:
    """Drop settings whose switch is off: DCP ignores them, dcp rejects them."""
    values = settings.values
    useless = PLUGINS if not values.get("use_plugins") else ()
    if not values.get("install_requirements"):
        useless = (*useless, "requirements")
    for key in dict.fromkeys(useless):
        if values.pop(key, False):
            text = "is not used, because its switch is 'False'."
            settings.add_remark(Kind.NO_COUNTERPART, key, text)


_RULES: tuple[Callable[[DcpSettings], None], ...] = (
    _image,
    _buckets,
    _defaults,
    _download,
    _derived,
    _dead_letters,
    _retries,
    _visibility,
    _account,
    _skipping,
    _plugins,
)
