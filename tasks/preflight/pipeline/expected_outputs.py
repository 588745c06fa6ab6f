"""Number of files that a job will write, if the pipeline determines it. Pure."""

from tasks.preflight.pipeline import cellprofiler_modules
from tasks.preflight.pipeline.parser import Module, Pipeline

_OTHER_WRITERS = (
    "CalculateStatistics",
    "ExportToDatabase",
    "MeasureObjectSkeleton",
    "RunImageJMacro",
    "SaveCroppedObjects",
    "UntangleWorms",
)
_RELATING = ("MeasureObjectNeighbors", "RelateObjects", "TrackObjects")
"""They store relationships, for which ExportToSpreadsheet writes another file if any exist."""


_COMBINE = "Combine these object measurements with those of the previous object?"


def files_of_a_job(pipeline: Pipeline, rows: int) -> int | None:
    """The number of files that a job writes; None if the pipeline does not determine it.

    Args:
        pipeline: The pipeline.
        rows: Number of the job's image sets.
    """
    if pipeline.cut_off or any(
        cellprofiler_modules.kind(module) != "known" for module in pipeline.active()
    ):
        return None
    if any(pipeline.active(*_OTHER_WRITERS)):
        return None
    tables = [_tables(pipeline, module) for module in pipeline.active("ExportToSpreadsheet")]
    images = [_images(module, rows) for module in pipeline.active("SaveImages")]
    counts = [*tables, *images]
    if not counts or len(tables) > 1 or any(count is None for count in counts):
        return None
    return sum(count for count in counts if count is not None)


def _tables(pipeline: Pipeline, export: Module) -> int | None:
    if export.value("Create a GenePattern GCT file?") == "Yes":
        return None
    if export.value("Export all measurement types?") != "Yes":
        joined = export.value(_COMBINE)
        groups = [s for s in export.settings if s.label == "Data to export"]
        return len(groups) if joined == "No" or len(groups) == 1 else None
    if any(pipeline.active(*_RELATING)):
        return None
    # Image.csv, Experiment.csv, and one for each kind of object.
    objects = {
        setting.name
        for module in pipeline.active()
        if module.number < export.number
        for setting in cellprofiler_modules.objects_created(module)
    }
    return 2 + len(objects)


def _images(save: Module, rows: int) -> int | None:
    if save.value("Select method for constructing file names") != "From image filename":
        return None
    when = save.value("When to save")
    if when == "Every cycle":
        return rows
    return 1 if when in ("First cycle", "Last cycle") else None
