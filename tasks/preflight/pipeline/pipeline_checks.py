"""Checks that CellProfiler can load the pipeline, and that it can run as jobs. Pure."""

import difflib
from collections.abc import Callable, Iterator, Sequence

from blocks.errors import Problem
from tasks.preflight.finding import Finding, Level
from tasks.preflight.pipeline import cellprofiler_modules
from tasks.preflight.pipeline.parser import Module, Pipeline

INPUT_MODULES = ("Images", "Metadata", "NamesAndTypes", "Groups")
"""They create the image sets if there is no LoadData."""

_IMAGES, _BASE, _ROWS, _RANGE, _GROUPS, _TAGS = range(2, 8)
_BEFORE_REVISION_4 = {_IMAGES: 3, _BASE: 4, _ROWS: 6, _RANGE: 7, _GROUPS: 8, _TAGS: 9}
"""Positions of LoadData's settings."""

_HARMLESS_BASES = ("none", "default input folder", "default image folder")
_DEFAULT_OUTPUT = "Default Output Folder"
_WRITERS = {
    "ExportToSpreadsheet": "Output file location",
    "ExportToDatabase": "Output file location",
    "SaveImages": "Output file location",
    "SaveCroppedObjects": "Directory",
}


def findings(
    pipeline: Pipeline, where: str, keys: Sequence[str], suffix: str, use_plugins: bool
) -> Iterator[Finding]:
    """What is wrong with a pipeline.

    Args:
        pipeline: The pipeline.
        where: Its key.
        keys: The metadata keys of the jobs.
        suffix: Suffix of the data file: .csv (LoadData) or .txt (a list of files).
        use_plugins: The run config's value.
    """
    yield from _whole(pipeline, where)
    yield from _known(pipeline, where, use_plugins)
    yield from _no_batch(pipeline, where)
    sets = _load_data if suffix == ".csv" else _input_modules
    yield from sets(pipeline, where, keys)
    yield from _outputs(pipeline, where)


def _whole(pipeline: Pipeline, where: str) -> Iterator[Finding]:
    if pipeline.cut_off:
        yield _finding(
            "error",
            "pipeline_cut_off",
            Problem(
                where,
                "ModuleCount",
                "the pipeline is truncated",
                f"{len(pipeline.modules)} modules",
                f"the {pipeline.expected} modules of its header",
                "Save it again from CellProfiler.",
            ),
        )
    elif broken := next(filter(cellprofiler_modules.lacks_settings, pipeline.modules), None):
        yield _finding(
            "error",
            "pipeline_cut_off",
            Problem(
                where,
                str(broken),
                "the pipeline is truncated in this module",
                got=f"{len(broken.settings)} settings",
                remedy="Save it again from CellProfiler.",
            ),
        )
    elif not any(pipeline.active()):
        yield _finding(
            "error",
            "pipeline_no_modules",
            Problem(
                where,
                "",
                "the pipeline has no active module",
                remedy="Enable its modules and save it again.",
            ),
        )


def _known(pipeline: Pipeline, where: str, use_plugins: bool) -> Iterator[Finding]:
    # CellProfiler stops loading at an unknown module, even at a disabled one.
    for module in pipeline.modules:
        kind = cellprofiler_modules.kind(module)
        if kind == "known" or (kind == "plugin" and use_plugins):
            continue
        if kind == "plugin":
            yield _finding(
                "error",
                "plugin_module",
                Problem(
                    where,
                    str(module),
                    "the module is a plugin, but use_plugins is false",
                    remedy="Set use_plugins to true in the run config, or remove the module.",
                ),
            )
            continue
        near = difflib.get_close_matches(module.name, cellprofiler_modules.known_names(), 1)
        yield _finding(
            "warning" if use_plugins else "error",
            "unknown_module",
            Problem(
                where,
                str(module),
                "CellProfiler 4.2.8 has no such module",
                remedy=(f"Did you mean {near[0]}? " if near else "")
                + (
                    "If it is a plugin, check that the worker's image includes it."
                    if use_plugins
                    else "If it is a plugin, set use_plugins to true. Otherwise remove it: "
                    "disabling it is not enough, because CellProfiler stops loading there."
                ),
            ),
        )


def _no_batch(pipeline: Pipeline, where: str) -> Iterator[Finding]:
    for module in pipeline.active("CreateBatchFiles"):
        yield _finding(
            "error",
            "create_batch_files",
            Problem(
                where,
                str(module),
                "with this module, each job writes a batch file instead of its results",
                remedy="Disable it in the pipeline.",
            ),
        )


def _load_data(pipeline: Pipeline, where: str, keys: Sequence[str]) -> Iterator[Finding]:
    load_data = list(pipeline.active("LoadData"))
    if not load_data:
        others = [module.name for module in pipeline.active(*INPUT_MODULES)]
        what = "the jobs have a LoadData CSV, but the pipeline has no active LoadData module"
        if others:
            what += f" (it has {', '.join(others)})"
        yield _finding(
            "error",
            "load_data_missing",
            Problem(
                where, "", what, remedy="Add LoadData, or use a .txt list of files as data_file."
            ),
        )
        return
    if len(load_data) > 1:
        yield _finding(
            "warning",
            "load_data_twice",
            Problem(where, str(load_data[1]), "is a second LoadData; both read the job's only CSV"),
        )
    for check in _LOAD_DATA_CHECKS:
        yield from check(load_data[0], where)
    wants, tags = _answer(load_data[0], _GROUPS), _answer(load_data[0], _TAGS)
    grouped = tags.split(",") if wants == "Yes" and tags else []
    yield from _grouping(load_data[0], where, [f"Metadata_{tag}" for tag in grouped], keys)


def _answer(load_data: Module, position: int) -> str:
    """A LoadData setting by its position, as in CellProfiler: its label depends on the version."""
    if load_data.revision < 4:
        position = _BEFORE_REVISION_4[position]
    settings = load_data.settings
    return settings[position].value if position < len(settings) else ""


def _images_loaded(module: Module, where: str) -> Iterator[Finding]:
    if _answer(module, _IMAGES) == "No":
        yield _finding(
            "error",
            "load_data_no_images",
            Problem(
                where,
                str(module),
                "LoadData does not load images",
                remedy="Set 'Load images based on this data?' to Yes.",
            ),
        )


def _all_rows(module: Module, where: str) -> Iterator[Finding]:
    if _answer(module, _ROWS) == "Yes":
        yield _finding(
            "error",
            "load_data_rows",
            Problem(
                where,
                str(module),
                "LoadData reads only a range of rows: jobs outside of it find no images",
                got=f"rows {_answer(module, _RANGE) or '?'}",
                remedy="Set 'Process just a range of rows?' to No.",
            ),
        )


def _base(module: Module, where: str) -> Iterator[Finding]:
    base = _answer(module, _BASE)
    # The text after the bar remains from an earlier choice.
    if base and base.partition("|")[0].lower() not in _HARMLESS_BASES:
        yield _finding(
            "warning",
            "load_data_base",
            Problem(
                where,
                str(module),
                "the base image location does not exist on the machines",
                got=repr(base),
                allowed="None, with PathName_ columns in the CSV",
            ),
        )


_LOAD_DATA_CHECKS: tuple[Callable[[Module, str], Iterator[Finding]], ...] = (
    _images_loaded,
    _all_rows,
    _base,
)


def _input_modules(pipeline: Pipeline, where: str, keys: Sequence[str]) -> Iterator[Finding]:
    missing = [name for name in INPUT_MODULES if not any(pipeline.active(name))]
    if missing:
        yield _finding(
            "error",
            "input_modules_missing",
            Problem(
                where,
                "",
                f"a list of files needs the input modules; the pipeline lacks {', '.join(missing)}",
                remedy="Add them, or use a LoadData CSV as data_file.",
            ),
        )
        return
    groups = next(pipeline.active("Groups"))
    wants = groups.value("Do you want to group your images?") == "Yes"
    tags = [s.value for s in groups.settings if s.label == "Metadata category"] if wants else []
    # CellProfiler's command line also names them Metadata_Plate.
    yield from _grouping(groups, where, [f"Metadata_{tag}" for tag in tags], keys)


def _grouping(
    module: Module, where: str, grouped: Sequence[str], keys: Sequence[str]
) -> Iterator[Finding]:
    if sorted(grouped) == sorted(keys):
        return
    if not grouped:
        code, what = "grouping_off", "the pipeline does not group its images"
    else:
        code, what = "grouping_keys", "the pipeline and the jobs group by different metadata"
    yield _finding(
        "error",
        code,
        Problem(
            where,
            str(module),
            what,
            got=", ".join(grouped),
            allowed=f"exactly {', '.join(keys)}",
            remedy="Change the grouping of the pipeline, or the groups of the job file.",
        ),
    )


def _outputs(pipeline: Pipeline, where: str) -> Iterator[Finding]:
    for module in pipeline.active(*_WRITERS):
        label = _WRITERS[module.name]
        place = module.value(label)
        choice = (place or _DEFAULT_OUTPUT).partition("|")[0]
        if choice == _DEFAULT_OUTPUT:
            continue
        if choice == "Default Output Folder sub-folder":
            code, what = "output_sub_folder", "writes into a sub-folder of the job's output folder"
            remedy = "This is fine if intended; skipping also counts the files in sub-folders."
        else:
            code, what = "output_elsewhere", "writes outside the job's output folder"
            remedy = "Choose the Default Output Folder: no other files are kept."
        yield _finding(
            "warning", code, Problem(where, str(module), what, got=repr(place), remedy=remedy)
        )


def _finding(level: Level, code: str, problem: Problem) -> Finding:
    return Finding(level, code, problem)
