"""What of Distributed-CellProfiler's settings means something else here, rule by rule.

Each rule keeps the meaning that a setting had in DCP, or says that it cannot.
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
"""What DCP does when its file does not have the key, where our default is another."""

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
"""Keys without which DCP does not start; ours have defaults."""

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
    remedy = "Name an image made with worker/Dockerfile."
    if isinstance(image, str) and _DCPS_IMAGE.fullmatch(image):
        what = "is the worker of Distributed-CellProfiler, which cannot do these jobs"
        settings.left_out["dockerhub_tag"] = Problem(
            settings.place("dockerhub_tag"), "DOCKERHUB_TAG", what, repr(image), remedy=remedy
        )
        settings.tell(Kind.FILL_IN, "dockerhub_tag", f"{image} {what}. {remedy}")
        del settings.values["dockerhub_tag"]
    elif image is not None:
        text = f"{image} must have our worker in it, not that of DCP. {remedy}"
        settings.tell(Kind.FILL_IN, "dockerhub_tag", text)


def _buckets(settings: DcpSettings) -> None:
    for key in _BUCKETS:
        if settings.values.get(key) in _EXAMPLE_BUCKETS:
            text = f"{settings.values[key]} is the example's. Write the name of your bucket."
            settings.tell(Kind.FILL_IN, key, text)


def _defaults(settings: DcpSettings) -> None:
    for key, value in DEFAULTS.items():
        if key not in settings.lines:
            settings.values[key] = value
            ours = RunConfig.model_fields[key].default
            text = (
                f"is not in the file: {_yaml(value)} as in DCP; our own default is {_yaml(ours)}."
            )
            settings.tell(Kind.DIFFERS, key, text)
    for key in NEEDED:
        if key not in settings.lines:
            ours = RunConfig.model_fields[key].default
            settings.tell(Kind.FILL_IN, key, f"is not in the file. Left out, it is {_yaml(ours)}.")


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _download(settings: DcpSettings) -> None:
    if settings.values["download_files"] is False and "download_files" in settings.lines:
        settings.tell(
            Kind.DIFFERS,
            "download_files",
            "false mounts the bucket of the images, as DCP does. true, our default, downloads the "
            "images of each job and is the safer choice for long runs.",
        )


def _derived(settings: DcpSettings) -> None:
    """Names that follow from the app's name follow it when it is changed."""
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
            f"is the queue {name} in the region and the account of the run; it is made if it is "
            "not there. Region and account of an ARN are not used."
        )
        settings.tell(Kind.DIFFERS, key, text)
    if _EXAMPLE_QUEUE.fullmatch(queue):
        text = f"{name} is the example's. Write a name of your own, or leave it out."
        settings.tell(Kind.FILL_IN, key, text)


def _retries(settings: DcpSettings) -> None:
    if "job_retries" in settings.lines:
        settings.tell(
            Kind.DIFFERS,
            "job_retries",
            "counts attempts that failed. An interrupted machine costs a job no attempt here.",
        )


def _visibility(settings: DcpSettings) -> None:
    settings.tell(
        Kind.DIFFERS,
        "sqs_message_visibility",
        "need not be as long as a job: a running job stays hidden. It is how soon the job of a "
        "lost machine is given to another.",
    )


def _account(settings: DcpSettings) -> None:
    profile = settings.values.get("aws_profile")
    if profile is None:
        return
    settings.tell(
        Kind.DIFFERS,
        "aws_profile",
        "is used where the flow runs, and no keys of it reach the machines: these have the role of "
        "their instance profile.",
    )
    if profile == "default":  # what AWS tools find by themselves
        del settings.values["aws_profile"]


def _skipping(settings: DcpSettings) -> None:
    if settings.values.get("check_if_done_bool"):
        settings.tell(
            Kind.DIFFERS,
            "check_if_done_bool",
            "looks at the names of outputs alone. check_if_done_exact: true also knows whether "
            "pipeline and CSV are still the same.",
        )


def _plugins(settings: DcpSettings) -> None:
    """DCP reads these only together; here each stands for itself, or is refused."""
    values = settings.values
    useless = PLUGINS if not values.get("use_plugins") else ()
    if not values.get("install_requirements"):
        useless = (*useless, "requirements")
    for key in dict.fromkeys(useless):
        if values.pop(key, False):
            text = "is not used, because the switch it belongs to is 'False'."
            settings.tell(Kind.NO_COUNTERPART, key, text)


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
