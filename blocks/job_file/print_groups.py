"""Groups listed in DCP's job files or by `cellprofiler --print-groups`."""

import json
import re
from typing import Any

from blocks.errors import JobFileError, Problem

FILES = (".json", ".txt")
"""The suffixes of a file of groups."""

_LIST = re.compile(r"\[\s*[\[{]")
_decoder = json.JSONDecoder(parse_int=str, parse_float=str)


def without_image_numbers(groups: Any) -> Any:
    """A list of groups without the numbers of their image sets.

    CellProfiler prints a pair for each group: its keys and values, and the numbers of its image
    sets (cellprofiler/__main__.py, print_groups). The values alone determine the images.
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
    """The groups in a file: the output of `cellprofiler --print-groups`, or DCP's lines of groups.

    Ignores CellProfiler's log lines before and after the groups.

    Raises:
        JobFileError: The file contains no list of groups.
    """
    for start in _LIST.finditer(text):
        try:
            groups: list[Any] = _decoder.raw_decode(text, start.start())[0]
        except json.JSONDecodeError:
            continue
        return groups
    try:
        # DCP's batches.sh writes one group per line, followed by a comma.
        return [group for group in _decoder.decode(f"[{text.strip().rstrip(',')}]") if group]
    except json.JSONDecodeError as error:
        raise JobFileError(
            Problem(
                where,
                "",
                "contains no list of groups",
                allowed="the output of cellprofiler --print-groups",
                remedy="Write it with: cellprofiler --print-groups Batch_data.h5 > groups.json",
            )
        ) from error
