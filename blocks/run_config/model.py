"""The run config: the settings of a run, checked against each other.

`blocks.loading.load` reads it from YAML; `blocks.prefect_blocks` turns it into a Prefect block.
"""

from typing import Self

from pydantic import model_validator

from blocks.errors import Refusals
from blocks.run_config.fields import RunConfigFields
from blocks.run_config.rules import broken_rules


class RunConfig(RunConfigFields):
    """All settings of a run: what to run, on which files, on which machines.

    The names are those of Distributed-CellProfiler's config.py, in lower case.
    """

    @model_validator(mode="after")
    def _check(self) -> Self:
        if refusals := broken_rules(self):
            raise Refusals(refusals)
        return self
