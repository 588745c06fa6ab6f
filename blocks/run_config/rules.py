"""Rules between several settings of a run config. Pure; each returns the violations it finds."""

from collections.abc import Callable, Iterator

from blocks.errors import Refusal
from blocks.run_config.fields import RunConfigFields

MIN_DISK_GB = 1
"""Minimum disk space of a container (GB)."""

MIN_MEMORY_PER_CORE_MB = 500
"""A warm CellProfiler uses about 440 MB before it opens an image."""

MIN_CPU_UNITS_PER_CORE = 256
"""A quarter of a vCPU for each CellProfiler.

ECS CPU units are shares: fewer than 1024 per CellProfiler can be intended (jobs that mostly wait
for files), but a number below this is a mistake, such as vCPUs instead of CPU units.
"""


def _disk(config: RunConfigFields) -> Iterator[Refusal]:
    disk_gb = config.disk_per_container
    if disk_gb < MIN_DISK_GB:
        least = (2 + MIN_DISK_GB) * config.tasks_per_machine
        yield Refusal(
            f"leaves {disk_gb:.2f} GB for each container (ebs_vol_size / tasks_per_machine - 2 GB)",
            key="ebs_vol_size",
            got=f"{config.ebs_vol_size} GB for {config.tasks_per_machine} tasks",
            allowed=f"at least {least} GB with these tasks_per_machine",
            remedy="Raise ebs_vol_size or lower tasks_per_machine.",
        )


def _memory(config: RunConfigFields) -> Iterator[Refusal]:
    least = MIN_MEMORY_PER_CORE_MB * config.docker_cores
    if config.memory < least:
        yield Refusal(
            f"is too small for {config.docker_cores} CellProfiler processes",
            key="memory",
            got=f"{config.memory} MB",
            allowed=f"at least {MIN_MEMORY_PER_CORE_MB} MB each, {least} MB in all",
            remedy="Raise memory or lower docker_cores.",
        )


def _cpu(config: RunConfigFields) -> Iterator[Refusal]:
    least = MIN_CPU_UNITS_PER_CORE * config.docker_cores
    if config.cpu_units < least:
        yield Refusal(
            f"is too small for {config.docker_cores} CellProfiler processes",
            key="cpu_shares",
            got=f"{config.cpu_units} CPU units",
            allowed=f"at least {least}; usual: docker_cores * 1024 = {config.docker_cores * 1024}",
            remedy="Remove cpu_shares or lower docker_cores.",
        )


def _queues(config: RunConfigFields) -> Iterator[Refusal]:
    if config.names.queue == config.names.dead_letter_queue:
        yield Refusal(
            "must differ from the job queue",
            key="sqs_dead_letter_queue",
            got=repr(config.names.dead_letter_queue),
            remedy="Name another queue, or remove the key.",
        )


def _mount(config: RunConfigFields) -> Iterator[Refusal]:
    if not config.download_files and "." in config.images_bucket:
        yield Refusal(
            "cannot be mounted, because its name contains a dot",
            key="source_bucket" if config.source_bucket else "aws_bucket",
            got=repr(config.images_bucket),
            remedy="Set download_files to true.",
        )


def _upload(config: RunConfigFields) -> Iterator[Refusal]:
    if config.upload_flags and config.upload.arguments():
        yield Refusal(
            "cannot be combined with upload",
            key="upload_flags",
            got=repr(config.upload_flags),
            remedy="Keep one of them.",
        )


def _plugins(config: RunConfigFields) -> Iterator[Refusal]:
    if not config.use_plugins:
        for key in ("update_plugins", "plugins_commit", "install_requirements", "requirements"):
            if value := getattr(config, key):
                yield Refusal(
                    "is set while use_plugins is false",
                    key=key,
                    got=repr(value),
                    remedy="Set use_plugins to true, or remove this key.",
                )
    elif config.requirements and not config.install_requirements:
        yield Refusal(
            "is set while install_requirements is false",
            key="requirements",
            got=repr(config.requirements),
            remedy="Set install_requirements to true, or remove this key.",
        )


def _credentials(config: RunConfigFields) -> Iterator[Refusal]:
    block = config.aws_credentials
    if not config.aws_profile or block is None:
        return
    if block.aws_access_key_id or block.aws_secret_access_key:
        yield Refusal(
            "cannot be combined with keys in aws_credentials",
            key="aws_profile",
            got=repr(config.aws_profile),
            remedy="Keep one of them.",
        )
    elif block.profile_name and block.profile_name != config.aws_profile:
        yield Refusal(
            "differs from the profile in aws_credentials",
            key="aws_profile",
            got=f"{config.aws_profile!r} and {block.profile_name!r}",
            remedy="Keep one of them.",
        )


_RULES: tuple[Callable[[RunConfigFields], Iterator[Refusal]], ...] = (
    _disk,
    _memory,
    _cpu,
    _queues,
    _mount,
    _upload,
    _plugins,
    _credentials,
)


def broken_rules(config: RunConfigFields) -> list[Refusal]:
    """Every rule between settings that the config breaks."""
    return [refusal for rule in _RULES for refusal in rule(config)]
