"""The settings of a run as Prefect blocks: forms in the UI, stored by the server.

No other module of this package imports Prefect, and this one is imported only when a block is
used.
"""

from typing import Any, ClassVar, TypeVar

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import BaseModel, model_validator

from blocks.fields import extra_of, setting
from blocks.fleet_template.model import FleetTemplate
from blocks.job_file.model import JobFile
from blocks.job_file.profile import Profile
from blocks.run_config.fields import RETIRED
from blocks.run_config.model import RunConfig

__all__ = [
    "AwsCredentials",
    "FleetTemplateBlock",
    "JobFileBlock",
    "ProfileBlock",
    "RunConfigBlock",
]

B = TypeVar("B", bound=Block)

_CREDENTIALS = RunConfig.model_fields["aws_credentials"]


def _without_block_keys(cls: type[Block], values: Any) -> Any:
    """Only the fields of a dumped or stored block.

    Prefect's `Block` adds these keys when it is dumped; a block that forbids unknown keys could
    not read itself back. The slug of another block type stays and is rejected.
    """
    if not isinstance(values, dict):
        return values
    added = {"_block_document_id", "_block_document_name", "_is_anonymous"}
    if values.get("block_type_slug") == cls.get_block_type_slug():
        added.add("block_type_slug")
    return {key: value for key, value in values.items() if key not in added}


def _without_retired_keys(values: Any) -> Any:
    """A stored run config without the keys of earlier versions, which always stored them."""
    if not isinstance(values, dict):
        return values
    return {key: value for key, value in values.items() if key not in RETIRED}


def block_of(kind: type[B], model: BaseModel) -> B:
    """A block with the fields that are set in a model.

    Args:
        kind: The block's class.
        model: The plain model of that block.
    """
    return kind(**{name: getattr(model, name) for name in model.model_fields_set})


class RunConfigBlock(Block, RunConfig):
    """All settings of a run: what to run, on which files, on which machines.

    The names are those of Distributed-CellProfiler's config.py, in lower case.

    Example:
        ```python
        from blocks import RunConfigBlock

        config = RunConfigBlock.load("my-plates")
        print(config.names.queue, config.containers)
        ```
    """

    _block_type_name: ClassVar[str | None] = "DCP Run Config"
    _block_type_slug: ClassVar[str | None] = "dcp-run-config"

    aws_credentials: AwsCredentials = setting(
        "aws",
        description=_CREDENTIALS.description or "",
        default_factory=AwsCredentials,
        default_text=extra_of(_CREDENTIALS)["default_text"],
        repr=False,
    )

    _drop_block_keys = model_validator(mode="before")(_without_block_keys)
    _drop_retired_keys = model_validator(mode="before")(_without_retired_keys)


class JobFileBlock(Block, JobFile):
    """What to run: pipeline, data file, output folder, and the groups.

    Each group is a job. List the groups as in Distributed-CellProfiler's job files, or derive them
    from the LoadData CSV (`groups: {by: [...]}`) or a layout (`groups: {format: 384, ...}`). A
    standard step of DCP (`step: analysis`) sets everything else.

    Example:
        ```python
        from blocks import JobFileBlock

        for jobs in JobFileBlock.load("plate1").sets():
            print(jobs.pipeline, jobs.data_file)
        ```
    """

    _block_type_name: ClassVar[str | None] = "DCP Job File"
    _block_type_slug: ClassVar[str | None] = "dcp-job-file"

    _drop_block_keys = model_validator(mode="before")(_without_block_keys)


class FleetTemplateBlock(Block, FleetTemplate):
    """The machines' settings in the account: network, role, machine image, key pair.

    All fields are optional. `spot_fleet_request` holds a fleet file of Distributed-CellProfiler,
    which requests a Spot Fleet; the other fields are then unused.

    Example:
        ```python
        from blocks import FleetTemplateBlock

        fleet = FleetTemplateBlock.load("my-account")
        ```
    """

    _block_type_name: ClassVar[str | None] = "DCP Fleet Template"
    _block_type_slug: ClassVar[str | None] = "dcp-fleet-template"

    _drop_block_keys = model_validator(mode="before")(_without_block_keys)


class ProfileBlock(Block, Profile):
    """The steps from images to measurements, in order.

    Example:
        ```python
        from blocks import ProfileBlock

        for step in ProfileBlock.load("batch1").plan():
            print(step.app, step.job.text)
        ```
    """

    _block_type_name: ClassVar[str | None] = "DCP Profile"
    _block_type_slug: ClassVar[str | None] = "dcp-profile"

    _drop_block_keys = model_validator(mode="before")(_without_block_keys)
