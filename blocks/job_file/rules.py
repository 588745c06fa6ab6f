"""Rules between the keys and among the groups of a job file. Pure."""

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
"""Maximum length of an S3 key (Amazon S3 User Guide, "Naming Amazon S3 objects")."""

_ROOM_FOR_FILE_NAMES = 200
_LISTED = 20
"""Maximum number of invalid groups listed one by one."""

_ANY_MARK = re.compile(r"\{[^{}/]*\}")


def broken_rules(job: JobFileFields) -> Iterator[Refusal]:
    """The mistakes between the keys and among the groups."""
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
            mistake = "is empty" if key in job.model_fields_set else "is missing"
            description = type(job).model_fields[key].description
            yield Refusal(mistake, key=key, remedy=f"Add it: {description}")
    for key in STEP_KEYS:
        # A saved block has every key, most of them with their default.
        if getattr(job, key) != type(job).model_fields[key].default:
            yield Refusal(
                "applies only to steps, but step is missing",
                key=key,
                remedy=f"Add step ({', '.join(STEPS)}), or remove this key.",
            )


def _marks(job: JobFileFields) -> Iterator[Refusal]:
    for key in SHARED:
        value = getattr(job, key)
        for mark in _ANY_MARK.findall(value):
            if mark != PLATE_MARK and "plate" in mark.lower():
                yield Refusal(
                    f"contains {mark}", key=key, got=repr(value), remedy=f"Write {PLATE_MARK}."
                )


def _batch_file_refusals(job: JobFileFields, shared: dict[str, str]) -> Iterator[Refusal]:
    kinds = {PurePosixPath(shared["pipeline"]).suffix, PurePosixPath(shared["data_file"]).suffix}
    if ".h5" in kinds and shared["pipeline"] != shared["data_file"]:
        yield Refusal(
            "must be the same batch file as data_file",
            key="pipeline",
            got=f"{shared['pipeline']!r} and {shared['data_file']!r}",
            remedy="A batch file (.h5) contains its pipeline: write it as both.",
        )


def _rule_refusals(
    job: JobFileFields, rule: GroupRule, shared: dict[str, str]
) -> Iterator[Refusal]:
    """The mistakes in a rule for groups."""
    if job.plates and rule.plates:
        yield Refusal(
            "cannot be combined with plates", key="groups.plates", remedy="Keep one of them."
        )
        return
    if rule.by:
        keys: Sequence[str] = rule.by
        if PurePosixPath(shared["data_file"]).suffix != ".csv":
            yield Refusal(
                "makes the groups from a CSV, but data_file is not a CSV",
                key="groups.by",
                got=repr(shared["data_file"]),
                remedy="List the groups, or describe the layout.",
            )
            return
    else:
        try:
            # The structure does not depend on the names of the plates.
            layout = rule.layout(tuple(job.plates or rule.plates or _some_plate(job, shared)))
        except Refusal as refusal:
            yield refusal
            return
        keys = [key for key, _ in layout.axes]
    yield from _structure_refusals(shared["output_structure"], keys)
    if PLATE not in keys and _only_csvs_differ(shared):
        yield Refusal(
            f"has no {PLATE_MARK} and the groups have no {PLATE}, so the outputs of all plates "
            "would have the same names",
            key="output",
            got=repr(shared["output"]),
            remedy=f"Write {PLATE_MARK} in output or output_structure, or {PLATE} in groups.by.",
        )
    try:
        joined(metadata_id(tuple((key, "x") for key in keys), shared["output_structure"]))
    except Refusal as refusal:
        yield refusal.at_key("output_structure", repr(shared["output_structure"]))


def _only_csvs_differ(shared: dict[str, str]) -> bool:
    """Whether each plate has its own CSV, but all plates share one output folder."""
    places = (shared["output"], shared["output_structure"])
    return PLATE_MARK in shared["data_file"] and not any(PLATE_MARK in place for place in places)


def _some_plate(job: JobFileFields, shared: dict[str, str]) -> tuple[str, ...]:
    """A placeholder for a plate, if the plates will be named later."""
    later = job.step or any(PLATE_MARK in value for value in shared.values())
    return ("plate",) if later else ()


def _listed_refusals(job: JobFileFields, groups: list[dict[str, object]]) -> Iterator[Refusal]:
    """The mistakes in listed groups."""
    sound: dict[int, Pairs] = {}
    refusals = list(_group_refusals(groups, sound))
    yield from refusals[:_LISTED]
    if more := len(refusals[_LISTED:]):
        yield Refusal(f"have {more} more mistake{'s' if more > 1 else ''}", key="groups")
    if refusals:
        return
    keys = [key for key, _ in sound[1]]
    mappings = any(not isinstance(group.get("Metadata", group), str) for group in groups)
    if mappings and not job.output_structure:
        yield Refusal(
            "is missing, but groups that are mappings require it",
            key="output_structure",
            remedy=f"Write the folders of a job, such as {'/'.join(keys)!r}.",
        )
        return
    wrong = list(_structure_refusals(job.output_structure, keys)) if len(groups) > 1 else []
    yield from wrong or _folder_refusals(job, list(sound.values()))


def _group_refusals(groups: list[dict[str, object]], sound: dict[int, Pairs]) -> Iterator[Refusal]:
    """The mistakes in single groups; adds the valid ones to `sound` by number."""
    first: dict[frozenset[tuple[str, str]], int] = {}
    expected: set[str] = set()
    for number, group in enumerate(groups, 1):
        place = f"groups[{number}]"
        has_metadata = "Metadata" in group
        value = group.get("Metadata", group)
        if has_metadata and len(group) > 1:
            extra = next(key for key in group if key != "Metadata")
            yield unknown_key(extra, ["Metadata"]).at_key(f"{place}.{extra}")
            continue
        try:
            pairs = parse_metadata(value)
        except Refusal as refusal:
            got = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
            yield refusal.at_key(f"{place}.Metadata" if has_metadata else place, got)
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
                "has different keys from the first group",
                key=place,
                got=", ".join(key for key, _ in pairs),
                allowed=", ".join(sorted(expected)),
            )


def _structure_refusals(structure: str, keys: Sequence[str]) -> Iterator[Refusal]:
    """The mistakes in an output structure for groups with these keys."""
    strays = strays_in(structure, keys)
    if structure and (strays or not (keys_in(structure, keys) or PLATE_MARK in structure)):
        yield Refusal(
            f"names {strays[0]}, which the groups lack" if strays else "names no key of the groups",
            key="output_structure",
            got=repr(structure),
            allowed=", ".join(keys),
        )


def _folder_refusals(job: JobFileFields, groups: list[Pairs]) -> Iterator[Refusal]:
    """The mistakes in the output folders of valid groups."""
    structure = job.output_structure
    keys = {key for key, _ in groups[0]}
    # A structure may omit keys on purpose. With all keys, equal folders are a mistake: P1-A, 1 and
    # P1, A-1 both become P1-A-1.
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
                remedy="Separate the keys with / in output_structure.",
            )


def too_long(folder: str) -> Refusal | None:
    """The refusal of an output folder whose name leaves no room for file names."""
    size = len(folder.encode())
    if size <= MAX_KEY_BYTES - _ROOM_FOR_FILE_NAMES:
        return None
    return Refusal(
        "makes the name of the output folder too long for S3",
        got=f"{size} bytes",
        allowed=f"at most {MAX_KEY_BYTES - _ROOM_FOR_FILE_NAMES}",
    )
