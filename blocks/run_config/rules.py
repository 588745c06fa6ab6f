"""Rules between several settings of a run config: pure, each returns what it refuses."""

from collections.abc import Callable, Iterator

from blocks.errors import Refusal
from blocks.run_config.fields import RunConfigFields

MIN_DISK_GB = 1
"""Least disk that must be left to a container (GB)."""

MIN_MEMORY_PER_CORE_MB = 500
"""A warm CellProfiler takes about 440 MB before it has opened an image."""

MIN_CPU_UNITS_PER_CORE = 256
"""A quarter of a vCPU for each CellProfiler.

ECS CPU units are shares: fewer than 1024 a CellProfiler is a choice (jobs that mostly wait for
files), but below this the number is a slip, such as vCPUs written for CPU units.
"""


def _disk(config: RunConfigFields) -> Iterator[Refusal]:
    room = config.disk_per_container
    if room < MIN_DISK_GB:
        least = (2 + MIN_DISK_GB) * config.tasks_per_machine
        yield Refusal(
            f"leaves {room:.2f} GB to each container (ebs_vol_size / tasks_per_machine - 2 GB)",
            key="ebs_vol_size",
            got=f"{config.ebs_vol_size} GB for {config.tasks_per_machine} tasks",
            allowed=f"at least {least} GB with these tasks_per_machine",
            remedy="Raise ebs_vol_size or lower tasks_per_machine.",
        )


def _memory(config: RunConfigFields) -> Iterator[Refusal]:
    least = MIN_MEMORY_PER_CORE_MB * config.docker_cores
    if config.memory < least:
        yield Refusal(
            f"is too little for {config.docker_cores} CellProfilers",
            key="memory",
            got=f"{config.memory} MB",
            allowed=f"at least {MIN_MEMORY_PER_CORE_MB} MB each, {least} MB in all",
            remedy="Raise memory or lower docker_cores.",
        )


def _cpu(config: RunConfigFields) -> Iterator[Refusal]:
    least = MIN_CPU_UNITS_PER_CORE * config.docker_cores
    if config.cpu_units < least:
        yield Refusal(
            f"is too little for {config.docker_cores} CellProfilers",
            key="cpu_shares",
            got=f"{config.cpu_units} CPU units",
            allowed=f"at least {least}; usual: docker_cores * 1024 = {config.docker_cores * 1024}",
            remedy="Leave cpu_shares out, or lower docker_cores.",
        )


def _queues(config: RunConfigFields) -> Iterator[Refusal]:
    if config.names.queue == config.names.dead_letter_queue:
        yield Refusal(
            "is the queue of the jobs itself",
            key="sqs_dead_letter_queue",
            got=repr(config.names.dead_letter_queue),
            remedy="Name another queue, or leave it out.",
        )


def _mount(config: RunConfigFields) -> Iterator[Refusal]:
    if not config.download_files and "." in config.images_bucket:
        yield Refusal(
            "cannot be mounted, because its name has a dot",
            key="source_bucket" if config.source_bucket else "aws_bucket",
            got=repr(config.images_bucket),
            remedy="Set download_files to true.",
        )


def _upload(config: RunConfigFields) -> Iterator[Refusal]:
    if config.upload_flags and config.upload.arguments():
        yield Refusal(
            "is set beside upload",
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
                    remedy="Set use_plugins to true, or leave this out.",
                )
    elif config.requirements and not config.install_requirements:
        yield Refusal(
            "is set while install_requirements is false",
            key="requirements",
            got=repr(config.requirements),
            remedy="Set install_requirements to true, or leave this out.",
        )


def _credentials(config: RunConfigFields) -> Iterator[Refusal]:
    given = config.aws_credentials
    if not config.aws_profile or given is None:
        return
    if given.aws_access_key_id or given.aws_secret_access_key:
        yield Refusal(
            "is set while aws_credentials has keys",
            key="aws_profile",
            got=repr(config.aws_profile),
            remedy="Keep one of them.",
        )
    elif given.profile_name and given.profile_name != config.aws_profile:
        yield Refusal(
            "is another profile than that of aws_credentials",
            key="aws_profile",
            got=f"{config.aws_profile!r} and {given.profile_name!r}",
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
