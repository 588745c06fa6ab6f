"""Rules for a standard step in a job file. Pure."""

from collections.abc import Iterator

from blocks.errors import Refusal
from blocks.job_file.fields import JobFileFields
from blocks.job_file.s3_keys import check_object_key

STEP_KEYS = (
    "identifier",
    "batch",
    "path_style",
    "source",
    "use_batch",
    "batch_file",
    "csv_name",
    "pipeline_path",
    "batch_path",
    "data_file_path",
)
"""Keys that apply only to steps."""


def step_refusals(job: JobFileFields) -> Iterator[Refusal]:
    """The mistakes in the keys of a step."""
    for key in ("identifier", "batch"):
        if not getattr(job, key):
            description = type(job).model_fields[key].description
            yield Refusal(
                "is missing, but step requires it", key=key, remedy=f"Add it: {description}"
            )
    if job.path_style == "cpg" and not job.source:
        yield Refusal(
            "is missing, but path_style cpg requires it",
            key="source",
            remedy="Add it, such as broad.",
        )
    if job.path_style != "cpg" and job.source:
        yield Refusal(
            "applies only to path_style cpg",
            key="source",
            got=repr(job.source),
            remedy="Set path_style to cpg, or remove it.",
        )
    for key in ("identifier", "batch", "source"):
        try:
            check_object_key(getattr(job, key))
        except Refusal as refusal:
            yield refusal.at_key(key, repr(getattr(job, key)))
    if isinstance(job.groups, (list, str)):
        yield Refusal(
            "cannot be listed together with a step",
            key="groups",
            remedy="A step makes its groups: write a mapping such as groups: {wells: [A01]}, or "
            "remove step.",
        )
    yield from _unused_keys(job)
    no_folder = job.path_style == "cpg" and not job.batch_path and "/" not in job.batch_file
    if job.use_batch and no_folder and not job.data_file:
        yield Refusal(
            "is missing: path_style cpg has no folder for batch files",
            key="batch_path",
            remedy="Add the folder of the batch file.",
        )


def _unused_keys(job: JobFileFields) -> Iterator[Refusal]:
    """Keys without effect beside others, which their author expects to be used."""
    unused: dict[str, str] = {}
    if job.data_file:
        parts = ("csv_name", "data_file_path", "batch_file", "batch_path")
        unused |= dict.fromkeys(parts, "data_file is already the whole key")
    if "/" in job.pipeline:
        unused["pipeline_path"] = "pipeline is already the whole key, with a / in it"
    if "/" in job.batch_file:
        unused["batch_path"] = "batch_file is already the whole key, with a / in it"
    if not job.use_batch:
        unused |= dict.fromkeys(("batch_file", "batch_path"), "use_batch is false")
    if job.use_batch or job.data_file.endswith(".h5"):
        cause = "use_batch is true" if job.use_batch else "data_file is a batch file"
        of_csv = ("pipeline", "pipeline_path", "csv_name", "data_file_path")
        unused |= dict.fromkeys(of_csv, cause)
    for key, cause in unused.items():
        if getattr(job, key):
            yield Refusal(
                f"has no effect, because {cause}",
                key=key,
                got=repr(getattr(job, key)),
                remedy="Remove one of the two.",
            )
