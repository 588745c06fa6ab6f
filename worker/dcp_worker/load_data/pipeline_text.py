"""Reads from a pipeline's text how it groups image sets, without CellProfiler."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = re.compile(r"(\w+):\[(.*)\]")
_REVISION = re.compile(r"\|variable_revision_number:(\d+)\|")
_ENABLED = re.compile(r"\|enabled:(True|False)")
# These revisions of LoadData have the settings in the same positions.
_LOAD_DATA_REVISIONS = (4, 5, 6)
_WANTS_IMAGES, _WANTS_ROWS, _WANTS_GROUPS, _TAGS = 2, 4, 6, 7
_TAG = re.compile(r"\w+")


@dataclass(frozen=True)
class _Module:
    name: str
    revision: int
    enabled: bool
    settings: tuple[str, ...]


def grouping(text: str) -> tuple[str, ...] | None:
    """The metadata columns by which a pipeline groups the rows of its LoadData CSV.

    With them, a run needs only the rows of one group (`row_numbering`).

    Args:
        text: The pipeline (.cppipe).

    Returns:
        The columns in the pipeline's order, usually Metadata_Plate first. None if the text does not
        show them, or if the run needs the whole CSV: LoadData is not the only module that creates
        image sets, selects a range of rows, or does not group.
    """
    modules = [module for module in _modules(text) if module.enabled]
    if not modules or [module.name for module in modules].count("LoadData") != 1:
        return None
    load_data = modules[0]
    if load_data.name != "LoadData" or load_data.revision not in _LOAD_DATA_REVISIONS:
        return None
    settings = load_data.settings
    if len(settings) <= _TAGS:
        return None
    if (settings[_WANTS_IMAGES], settings[_WANTS_ROWS], settings[_WANTS_GROUPS]) != (
        "Yes",
        "No",
        "Yes",
    ):
        return None
    tags = settings[_TAGS].split(",")
    if len(set(tags)) < len(tags) or not all(map(_TAG.fullmatch, tags)):
        return None
    return tuple(f"Metadata_{tag}" for tag in tags)


def _modules(text: str) -> Iterator[_Module]:
    """The modules of a pipeline: each has a header, settings, and a blank line after it."""
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        first, *lines = [line.strip() for line in block.strip().split("\n")]
        header = _HEADER.fullmatch(first)
        if header is None:
            continue
        name, attributes = header.groups()
        # Notes are free text and precede `enabled`.
        enabled, revision = _ENABLED.findall(attributes), _REVISION.findall(attributes)
        yield _Module(
            name=name,
            revision=int(revision[0]) if revision else 0,
            enabled=not enabled or enabled[-1] == "True",
            settings=tuple(line.partition(":")[2] for line in lines),
        )
