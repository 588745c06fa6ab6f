"""A job file kept in Prefect: the same keys as in the file, filled in as a form.

What its values must be is known to whoever reads the text of a job file, wherever it comes from.
"""

import json
from typing import Any, ClassVar

from prefect.blocks.core import Block
from pydantic import Field


class JobFileBlock(Block):
    """What to run on what: pipeline, data file, output place, and a group for each job.

    Example:
        ```python
        from blocks import JobFileBlock

        print(JobFileBlock.load("plate1").text)
        ```
    """

    _block_type_name: ClassVar[str | None] = "DCP Job File"
    _block_type_slug: ClassVar[str | None] = "dcp-job-file"

    pipeline: str = Field(description="Key of the pipeline in the workspace bucket.")
    data_file: str = Field(
        description="Key of the LoadData CSV, batch file or list of files in the workspace bucket."
    )
    input: str = Field(default="", description="Prefix of the default input folder, if any.")
    output: str = Field(description="Prefix of all outputs in the destination bucket.")
    output_structure: str = Field(
        default="", description="Folders below output, such as Metadata_Plate/Metadata_Well."
    )
    groups: list[dict[str, Any]] = Field(
        description='One for each job: {"Metadata": "K=V,K=V"}, or a mapping of keys to values.'
    )

    @property
    def text(self) -> str:
        """The job file as JSON."""
        keys = JobFileBlock.model_fields
        return json.dumps({key: value for key, value in self if key in keys})
