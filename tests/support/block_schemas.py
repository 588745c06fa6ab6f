"""Block schemas that are generated once per process.

Prefect generates the schema of a block hundreds of times when saving it, which takes seconds.
"""

from copy import deepcopy
from functools import cache
from typing import Any

from prefect.blocks.core import Block

_generate = cache(vars(Block)["model_json_schema"].__func__)


def _once(cls: type[Block], *args: Any, **options: Any) -> dict[str, Any]:
    return deepcopy(_generate(cls, *args, **options))


def generate_once() -> None:
    """Generate each schema once from now on."""
    Block.model_json_schema = classmethod(_once)  # type: ignore[assignment,method-assign]
