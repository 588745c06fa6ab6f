"""What may be wrong between the keys and among the groups of a job file. Pure."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from blocks.errors import Refusal
from blocks.job_file.expand import PLATE_MARK, SHARED, rule_of, shared_keys
from blocks.job_file.fields import JobFileFields
from blocks.job_file.group_selector import GroupRule
from blocks.job_file.job_set import PLATE
from blocks.job_file.metadata import (
    Pairs,
    joined,
    keys_in,
    metadata_id,
    metadata_text,
    parse_metadata,
    strays_in,
)
from blocks.job_file.standard_steps import STEPS
from blocks.job_file.step_rules import STEP_KEYS, step_refusals
from blocks.validation_errors import unknown_key

MAX_KEY_BYTES = 1024
"""Longest key of an S3 object (Amazon S3 User Guide, "Naming Amazon S3 objects")."""

_ROOM_FOR_FILE_NAMES = 200
_TOLD = 20
"""Wrong groups told one by one."""

_ANY_MARK = re.compile(r"\{[^{}/]*\}")


def broken_rules(job: JobFileFields) -> Iterator[Refusal]:
    """What is wrong between the keys and among the groups."""
    forms = [*(step_refusals(job) if job.step else _plain_refusals(job)), *_marks(job)]
    yield from forms
    if forms:
        return
    shared = shared_keys(job)
    yield from _batch_file_refusals(job, shared)
    rule = rule_of(job)
    if rule is not None:
        yield from _rule_refusals(job, rule, shared)
    elif isinstance(job.groups, list):
        yield from _listed_refusals(job, job.groups)


def _plain_refusals(job: JobFileFields) -> Iterator[Refusal]:
    for key in ("pipeline", "data_file", "output", "groups"):
        if not getattr(job, key):
            what = "is empty" if key in job.model_fields_set else "is missing"
            described = type(job).model_fields[key].description
            yield Refusal(what, key=key, remedy=f"Add it: {described}")
    for key in STEP_KEYS:
        # A block that was saved has every key, most as they are when left out.
        if getattr(job, key) != type(job).model_fields[key].default:
            yield Refusal(
                "is of a step, and no step is given",
                key=key,
                remedy=f"Add step ({', '.join(STEPS)}), or leave it out.",
            )


def _marks(job: JobFileFields) -> Iterator[Refusal]:
    for key in SHARED:
        value = getattr(job, key)
        for mark in _ANY_MARK.findall(value):
            if mark != PLATE_MARK and "plate" in mark.lower():
                yield Refusal(
                    f"holds {mark}", key=key, got=repr(value), remedy=f"Write {PLATE_MARK}."
                )


def _batch_file_refusals(job: JobFileFields, shared: dict[str, str]) -> Iterator[Refusal]:
    kinds = {PurePosixPath(shared["pipeline"]).suffix, PurePosixPath(shared["data_file"]).suffix}
    if ".h5" in kinds and shared["pipeline"] != shared["data_file"]:
        yield Refusal(
            "is another file than data_file, one of them a batch file",
            key="pipeline",
            got=f"{shared['pipeline']!r} and {shared['data_file']!r}",
            remedy="A batch file (.h5) holds its pipeline: give it as both.",
        )


def _rule_refusals(
    job: JobFileFields, rule: GroupRule, shared: dict[str, str]
) -> Iterator[Refusal]:
    """What is wrong with groups that are to be made."""
    if job.plates and rule.plates:
        yield Refusal("is given beside plates", key="groups.plates", remedy="Keep one of them.")
        return
    if rule.by:
        keys: Sequence[str] = rule.by
        if PurePosixPath(shared["data_file"]).suffix != ".csv":
            yield Refusal(
                "makes the groups from a CSV, and data_file is none",
                key="groups.by",
                got=repr(shared["data_file"]),
                remedy="List the groups, or describe the layout.",
            )
            return
    else:
        try:
            # Whatever the plates are called, their names change nothing in the structure.
            layout = rule.layout(tuple(job.plates or rule.plates or _some_plate(job, shared)))
        except Refusal as refusal:
            yield refusal
            return
        keys = [key for key, _ in layout.axes]
    yield from _structure_refusals(shared["output_structure"], keys)
    if PLATE not in keys and _only_csvs_differ(shared):
        yield Refusal(
            f"has no {PLATE_MARK}, and the groups have no {PLATE}: the outputs of all plates would "
            "have the same names",
            key="output",
            got=repr(shared["output"]),
            remedy=f"Write {PLATE_MARK} in output or output_structure, or {PLATE} in groups.by.",
        )
    try:
        joined(metadata_id(tuple((key, "x") for key in keys), shared["output_structure"]))
    except Refusal as refusal:
        yield refusal.at_key("output_structure", repr(shared["output_structure"]))


def _only_csvs_differ(shared: dict[str, str]) -> bool:
    """Whether there is a CSV a plate, and one place for what comes of all of them."""
    places = (shared["output"], shared["output_structure"])
    return PLATE_MARK in shared["data_file"] and not any(PLATE_MARK in place for place in places)


def _some_plate(job: JobFileFields, shared: dict[str, str]) -> tuple[str, ...]:
    """A plate's name, when the plates will be named later."""
    later = job.step or any(PLATE_MARK in value for value in shared.values())
    return ("plate",) if later else ()


def _listed_refusals(job: JobFileFields, groups: list[dict[str, object]]) -> Iterator[Refusal]:
    """What is wrong with groups that are listed."""
    sound: dict[int, Pairs] = {}
    refusals = list(_group_refusals(groups, sound))
    yield from refusals[:_TOLD]
    if len(refusals) > _TOLD:
        yield Refusal(f"have {len(refusals) - _TOLD} more mistakes", key="groups")
    if refusals:
        return
    keys = [key for key, _ in sound[1]]
    mappings = any(not isinstance(group.get("Metadata", group), str) for group in groups)
    if mappings and not job.output_structure:
        yield Refusal(
            "is missing, and the groups are mappings",
            key="output_structure",
            remedy=f"Write the folders of a job, such as {'/'.join(keys)!r}.",
        )
        return
    wrong = list(_structure_refusals(job.output_structure, keys)) if len(groups) > 1 else []
    yield from wrong or _folder_refusals(job, list(sound.values()))


def _group_refusals(groups: list[dict[str, object]], sound: dict[int, Pairs]) -> Iterator[Refusal]:
    """What is wrong with single groups; fills in the sound ones by number."""
    first: dict[frozenset[tuple[str, str]], int] = {}
    expected: set[str] = set()
    for number, group in enumerate(groups, 1):
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
        sound[number] = pairs
        if (twin := first.setdefault(frozenset(pairs), number)) != number:
            yield Refusal(
                f"is the same group as groups[{twin}]",
                key=place,
                got=repr(metadata_text(pairs)),
                remedy="Remove one of them.",
            )
        keys = {key for key, _ in pairs}
        expected = expected or keys
        if keys != expected:
            yield Refusal(
                "has other keys than the first group",
                key=place,
                got=", ".join(key for key, _ in pairs),
                allowed=", ".join(sorted(expected)),
            )


def _structure_refusals(structure: str, keys: Sequence[str]) -> Iterator[Refusal]:
    """What is wrong with an output structure for groups of these keys."""
    strays = strays_in(structure, keys)
    if structure and (strays or not (keys_in(structure, keys) or PLATE_MARK in structure)):
        yield Refusal(
            f"names {strays[0]}, which the groups lack" if strays else "names no key of the groups",
            key="output_structure",
            got=repr(structure),
            allowed=", ".join(keys),
        )


def _folder_refusals(job: JobFileFields, groups: list[Pairs]) -> Iterator[Refusal]:
    """What is wrong with where the outputs of sound groups would lie."""
    structure = job.output_structure
    keys = {key for key, _ in groups[0]}
    # A structure that leaves keys out is a choice; equal folders in spite of all keys are an
    # accident: P1-A, 1 and P1, A-1 are both P1-A-1.
    distinct = not structure or keys_in(structure, keys) == keys
    first: dict[str, int] = {}
    for number, pairs in enumerate(groups, 1):
        try:
            folder = joined(job.output, metadata_id(pairs, structure)).replace(
                PLATE_MARK, dict(pairs).get(PLATE, "")
            )
        except Refusal as refusal:
            yield refusal.at_key("output_structure" if structure else f"groups[{number}]")
            return
        if long := too_long(folder):
            yield long.at_key(f"groups[{number}]")
        if distinct and (twin := first.setdefault(folder, number)) != number:
            yield Refusal(
                f"has the same output folder as groups[{twin}]",
                key=f"groups[{number}]",
                got=repr(folder),
                remedy="Part the keys by / in output_structure.",
            )


def too_long(folder: str) -> Refusal | None:
    """The refusal of an output folder that leaves no room for the names of files."""
    size = len(folder.encode())
    if size <= MAX_KEY_BYTES - _ROOM_FOR_FILE_NAMES:
        return None
    return Refusal(
        "makes the name of the output folder too long for S3",
        got=f"{size} bytes",
        allowed=f"at most {MAX_KEY_BYTES - _ROOM_FOR_FILE_NAMES}",
    )
