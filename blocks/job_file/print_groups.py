"""Groups that are listed: by DCP's job files, or by `cellprofiler --print-groups`."""

import json
import re
from typing import Any

from blocks.errors import JobFileError, Problem

FILES = (".json", ".txt")
"""The endings of a file of groups."""

_LIST = re.compile(r"\[\s*[\[{]")
_decoder = json.JSONDecoder(parse_int=str, parse_float=str)


def without_image_numbers(groups: Any) -> Any:
    """A list of groups, each without the numbers of its images.

    CellProfiler prints a pair for each group: its keys and values, and the numbers of its image
    sets (cellprofiler/__main__.py, print_groups). Which images a group has follows from its values.
    """
    return [_group(group) for group in groups] if isinstance(groups, (list, tuple)) else groups


def _group(group: Any) -> Any:
    if isinstance(group, (list, tuple)) and len(group) == 2 and isinstance(group[1], (list, tuple)):
        group = group[0]
    if isinstance(group, dict) and "Metadata" not in group:
        return {key: _text(value) for key, value in group.items()}
    return group


def _text(value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if number else value


def read_groups(text: str, where: str) -> list[Any]:
    """The groups in a file: what `cellprofiler --print-groups` printed, or DCP's lines of groups.

    What CellProfiler logged before and after the groups is passed over.

    Raises:
        JobFileError: There is no list of groups in it.
    """
    for begin in _LIST.finditer(text):
        try:
            found: list[Any] = _decoder.raw_decode(text, begin.start())[0]
        except json.JSONDecodeError:
            continue
        return found
    try:
        # DCP's batches.sh writes a group a line, each with a comma after it.
        return [found for found in _decoder.decode(f"[{text.strip().rstrip(',')}]") if found]
    except json.JSONDecodeError as error:
        raise JobFileError(
            Problem(
                where,
                "",
                "holds no list of groups",
                allowed="what cellprofiler --print-groups prints",
                remedy="Write it with: cellprofiler --print-groups Batch_data.h5 > groups.json",
            )
        ) from error
