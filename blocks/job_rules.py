"""What may be wrong between the keys and among the groups of a job file. Pure."""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from blocks.errors import Refusal
from blocks.groups import (
    Pairs,
    joined,
    keys_in,
    metadata_id,
    metadata_text,
    parse_metadata,
    strays_in,
)
from blocks.problems import unknown_key

if TYPE_CHECKING:
    from tasks.jobs import JobFile

MAX_KEY_BYTES = 1024
"""Longest key of an S3 object (Amazon S3 User Guide, "Naming Amazon S3 objects")."""

_ROOM_FOR_FILE_NAMES = 200
_TOLD = 20
"""Wrong groups told one by one."""


def broken_rules(job_file: "JobFile") -> Iterator[Refusal]:
    """What is wrong between the keys and among the groups."""
    batch_file = {PurePosixPath(job_file.pipeline).suffix, PurePosixPath(job_file.data_file).suffix}
    if ".h5" in batch_file and job_file.pipeline != job_file.data_file:
        yield Refusal(
            "is another file than data_file, one of them a batch file",
            key="pipeline",
            got=f"{job_file.pipeline!r} and {job_file.data_file!r}",
            remedy="A batch file (.h5) holds its pipeline: give it as both.",
        )
    groups: dict[int, Pairs] = {}
    refusals = list(_group_refusals(job_file, groups))
    yield from refusals[:_TOLD]
    if len(refusals) > _TOLD:
        yield Refusal(f"have {len(refusals) - _TOLD} more mistakes", key="groups")
    if not refusals:
        yield from _structure_refusals(job_file, list(groups.values()))


def _group_refusals(job_file: "JobFile", groups: dict[int, Pairs]) -> Iterator[Refusal]:
    """What is wrong with single groups; fills in the sound ones by number."""
    first: dict[frozenset[tuple[str, str]], int] = {}
    for number, group in enumerate(job_file.groups, 1):
        place = f"groups[{number}]"
        named = "Metadata" in group
        value = group.get("Metadata", group)
        if named and len(group) > 1:
            extra = next(key for key in group if key != "Metadata")
            yield unknown_key(extra, ["Metadata"]).at_key(f"{place}.{extra}")
            continue
        try:
            pairs = parse_metadata(value)
        except Refusal as refusal:
            got = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
            yield refusal.at_key(f"{place}.Metadata" if named else place, got)
            continue
        groups[number] = pairs
        if (twin := first.setdefault(frozenset(pairs), number)) != number:
            yield Refusal(
                f"is the same group as groups[{twin}]",
                key=place,
                got=repr(metadata_text(pairs)),
                remedy="Remove one of them.",
            )
        expected = next(iter(groups.values()))
        if {key for key, _ in pairs} != {key for key, _ in expected}:
            yield Refusal(
                "has other keys than the first group",
                key=place,
                got=", ".join(key for key, _ in pairs),
                allowed=", ".join(key for key, _ in expected),
            )


def _structure_refusals(job_file: "JobFile", groups: list[Pairs]) -> Iterator[Refusal]:
    """What is wrong with where the outputs of sound groups would lie."""
    structure = job_file.output_structure
    keys = [key for key, _ in groups[0]]
    mappings = any(not isinstance(g.get("Metadata", g), str) for g in job_file.groups)
    if mappings and not structure:
        yield Refusal(
            "is missing, and the groups are mappings",
            key="output_structure",
            remedy=f"Write the folders of a job, such as {'/'.join(keys)!r}.",
        )
        return
    named = keys_in(structure, keys)
    strays = strays_in(structure, keys)
    if structure and len(groups) > 1 and (strays or not named):
        yield Refusal(
            f"names {strays[0]}, which the groups lack" if strays else "names no key of the groups",
            key="output_structure",
            got=repr(structure),
            allowed=", ".join(keys),
        )
        return
    # A structure that leaves keys out is a choice (jobs_sharing_folders); equal folders in spite
    # of all keys are an accident: P1-A, 1 and P1, A-1 are both P1-A-1.
    distinct = not structure or named == set(keys)
    first: dict[str, int] = {}
    for number, pairs in enumerate(groups, 1):
        try:
            folder = joined(job_file.output, metadata_id(pairs, structure))
        except Refusal as refusal:
            yield refusal.at_key("output_structure" if structure else f"groups[{number}]")
            return
        if len(folder.encode()) > MAX_KEY_BYTES - _ROOM_FOR_FILE_NAMES:
            yield Refusal(
                "makes the name of the output folder too long for S3",
                key=f"groups[{number}]",
                got=f"{len(folder.encode())} bytes",
                allowed=f"at most {MAX_KEY_BYTES - _ROOM_FOR_FILE_NAMES}",
            )
        if distinct and (twin := first.setdefault(folder, number)) != number:
            yield Refusal(
                f"has the same output folder as groups[{twin}]",
                key=f"groups[{number}]",
                got=repr(folder),
                remedy="Part the keys by / in output_structure.",
            )
