"""What Prefect stores with a block beside its fields."""

from typing import Any


def without_block_keys(values: Any, slug: str) -> Any:
    """The fields alone of what a block was dumped or stored as.

    Prefect's `Block` adds these keys when it is dumped; a block that forbids unknown keys would
    refuse to read itself back. A slug of another type of block stays, and is refused.
    """
    if not isinstance(values, dict):
        return values
    added = {"_block_document_id", "_block_document_name", "_is_anonymous"}
    if values.get("block_type_slug") == slug:
        added.add("block_type_slug")
    return {key: value for key, value in values.items() if key not in added}
