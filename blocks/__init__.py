"""The settings of a run: plain models, and Prefect blocks of them.

A Prefect server in an environment with dcp registers the blocks when it starts (the entry point
`prefect.collections`). For any other server, run `prefect block register -m blocks`.

Each name is imported on first use: unlike the models, the blocks need Prefect, whose import takes
seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blocks.fleet_template.model import FleetTemplate
    from blocks.job_file.model import JobFile
    from blocks.job_file.profile import Profile
    from blocks.prefect_blocks import (
        AwsCredentials,
        FleetTemplateBlock,
        JobFileBlock,
        ProfileBlock,
        RunConfigBlock,
    )
    from blocks.run_config.model import RunConfig

__all__ = [
    "AwsCredentials",
    "FleetTemplate",
    "FleetTemplateBlock",
    "JobFile",
    "JobFileBlock",
    "Profile",
    "ProfileBlock",
    "RunConfig",
    "RunConfigBlock",
]

_MODULES = {
    "FleetTemplate": "fleet_template.model",
    "JobFile": "job_file.model",
    "Profile": "job_file.profile",
    "RunConfig": "run_config.model",
}

if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"blocks.{_MODULES.get(name, 'prefect_blocks')}")
        return getattr(module, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
