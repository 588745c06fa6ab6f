"""Expands a job file into its sets of jobs: paths of a step, plates, layouts. Pure."""

from collections import defaultdict
from collections.abc import Sequence

from blocks.errors import JobFileError, Refusal
from blocks.job_file.fields import JobFileFields
from blocks.job_file.group_selector import GroupRule, check_plates
from blocks.job_file.job_set import PLATE, FromCsv, JobSet
from blocks.job_file.metadata import Pairs, parse_metadata
from blocks.job_file.plate_layout import Layout
from blocks.job_file.standard_steps import COLUMNS, FOLDERS, ROWS, SITES, STEPS, Folder, Step
from blocks.validation_errors import nearest

SHARED = ("pipeline", "data_file", "input", "output", "output_structure")
"""The keys that the jobs of a set share."""

PLATE_MARK = "{plate}"


def shared_keys(job: JobFileFields) -> dict[str, str]:
    """The keys that all jobs share, from the job file or its step. `{plate}` stays."""
    shared = {key: str(getattr(job, key)) for key in SHARED}
    return {**shared, **_of_step(job, STEPS[job.step], shared)} if job.step else shared


def _of_step(job: JobFileFields, step: Step, shared: dict[str, str]) -> dict[str, str]:
    parts = {"identifier": job.identifier, "batch": job.batch, "source": job.source}

    def folder(name: Folder, other: str = "") -> str:
        return other or FOLDERS[job.path_style][name].format(**parts)

    batch_file = _in(folder("batch files", job.batch_path), job.batch_file or step.batch_file)
    csv = f"{folder('csv', job.data_file_path)}/{PLATE_MARK}/{job.csv_name or step.csv}"
    pipeline = _in(folder("pipelines", job.pipeline_path), job.pipeline or step.pipeline)
    own = {
        "pipeline": batch_file if job.use_batch else pipeline,
        "data_file": batch_file if job.use_batch else csv,
        "input": folder("input"),
        "output": step.output[job.path_style].format(**parts),
        "output_structure": step.output_structure,
    }
    if job.data_file.endswith(".h5"):
        own["pipeline"] = job.data_file
    return {key: own[key] if key == "pipeline" else shared[key] or own[key] for key in own}


def _in(folder: str, name: str) -> str:
    """A file in a folder; a name with a slash is a whole key."""
    return name if "/" in name or not folder else f"{folder.rstrip('/')}/{name}"


def rule_of(job: JobFileFields) -> GroupRule | None:
    """The rule for the groups, with the defaults of a step; None if they are listed."""
    rule = job.groups
    if not job.step:
        return rule if isinstance(rule, GroupRule) else None
    rule = rule if isinstance(rule, GroupRule) else GroupRule()
    return rule if rule.by else rule.with_defaults(STEPS[job.step].keys, ROWS, COLUMNS, SITES)


def listed_groups(job: JobFileFields) -> list[Pairs]:
    """The groups that a job file lists."""
    groups = job.groups if isinstance(job.groups, list) else []
    return [parse_metadata(group.get("Metadata", group)) for group in groups]


def sets_of(job: JobFileFields, plates: Sequence[str], where: str) -> tuple[JobSet, ...]:
    """The sets of jobs of a job file; see `JobFile.sets`."""
    try:
        check_plates(plates)
    except Refusal as refusal:
        raise JobFileError(refusal.at(where, "plates", ", ".join(plates))) from refusal
    try:
        return tuple(_sets(job, tuple(plates)))
    except Refusal as refusal:
        raise JobFileError(refusal.at(where)) from refusal


def _sets(job: JobFileFields, plates: tuple[str, ...]) -> list[JobSet]:
    shared = shared_keys(job)
    rule = rule_of(job)
    one_a_plate = any(PLATE_MARK in value for value in shared.values())
    if isinstance(job.groups, str):
        raise Refusal(
            "names a file of groups, which cannot be read here",
            key="groups",
            got=repr(job.groups),
            remedy="Write the groups themselves.",
        )
    if rule is None:
        return _listed_sets(job, shared, plates, one_a_plate)
    plates = plates or tuple(job.plates or rule.plates)
    if not plates and (one_a_plate or job.step):
        why = f"{PLATE_MARK} in a key" if not job.step else "step"
        raise Refusal(f"is missing, but {why} requires it", key="plates", remedy="Name the plates.")
    if one_a_plate:
        # A plate's own CSV need not have a column for the plate.
        alone = rule.by and PLATE not in rule.by
        return [
            _set(shared, _generated(rule, () if alone else (plate,)), plate) for plate in plates
        ]
    return [_set(shared, _generated(rule, plates), plates[0] if len(plates) == 1 else "")]


def _generated(rule: GroupRule, plates: tuple[str, ...]) -> Layout | FromCsv:
    return rule.from_csv(plates) if rule.by else rule.layout(plates)


def _listed_sets(
    job: JobFileFields, shared: dict[str, str], plates: tuple[str, ...], one_a_plate: bool
) -> list[JobSet]:
    groups = listed_groups(job)
    if not (one_a_plate or plates or job.plates):
        return [_set(shared, groups)]
    by_plate: dict[str, list[Pairs]] = defaultdict(list)
    for number, pairs in enumerate(groups, 1):
        plate = dict(pairs).get(PLATE)
        if plate is None:
            raise Refusal(f"has no {PLATE}, but plates are selected", key=f"groups[{number}]")
        by_plate[plate].append(pairs)
    chosen_plates = plates or tuple(job.plates) or tuple(by_plate)
    for plate in chosen_plates:
        if plate not in by_plate:
            raise Refusal(
                f"names a plate without groups; {nearest(plate, by_plate)}",
                key="plates",
                got=repr(plate),
            )
    if one_a_plate:
        return [_set(shared, by_plate[plate], plate) for plate in chosen_plates]
    selected = set(chosen_plates)
    return [_set(shared, [pairs for pairs in groups if dict(pairs)[PLATE] in selected])]


def _set(shared: dict[str, str], groups: Sequence[Pairs] | FromCsv, plate: str = "") -> JobSet:
    filled = {key: value.replace(PLATE_MARK, plate) for key, value in shared.items()}
    return JobSet(**filled, groups=groups, plate=plate)
