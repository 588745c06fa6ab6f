"""Runs the rows of one group, numbered as in the whole CSV. For CellProfiler's process only.

LoadData reads only the group's rows, so that a job's time does not grow with its plate. Two things
would then differ from a run over the whole CSV, and this module corrects them. The types of
LoadData's columns come from a few representative rows (`type_samples`). The numbers of the image
sets and the group are set once the run is prepared. From then on a run over the whole CSV has only
the group's image sets, too.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
from cellprofiler_core import preferences
from cellprofiler_core.constants.measurement import GROUP_NUMBER, IMAGE, IMAGE_NUMBER
from cellprofiler_core.modules.loaddata import LoadData
from cellprofiler_core.pipeline import Pipeline

from dcp_worker.load_data.job_csv import Numbering, write_whole
from dcp_worker.load_data.local_paths import PathMapping

# Modules whose preparation of a run ignores the image sets or does the same for all as for a group.
# If a module has its own preparation (CreateBatchFiles, a plugin), LoadData reads the whole CSV.
_PREPARED = (
    "cellprofiler_core.module._module",
    "cellprofiler_core.modules.loaddata",
    "cellprofiler.modules.exporttodatabase",
    "cellprofiler.modules.exporttospreadsheet",
    "cellprofiler.modules.measureimagequality",
)
_GROUPING = _PREPARED[:2]
# Before a group's first image set runs, the current image set is number 1 of the whole CSV; a
# plugin may read it.
_OWN = ("cellprofiler.", "cellprofiler_core.")


@contextlib.contextmanager
def as_in_whole_csv(path: Path) -> Iterator[None]:
    """Number the image sets of the run in this context.

    Args:
        path: The numbering that `job_csv.select` wrote.
    """
    run = _Run(Numbering.read(path), path.with_suffix(".csv"))
    before = LoadData.get_measurement_columns, LoadData.open_csv, Pipeline.prepare_run
    LoadData.get_measurement_columns = lambda *args: run.columns(before[0], *args)
    LoadData.open_csv = lambda *args, **kwargs: run.open_csv(before[1], *args, **kwargs)
    Pipeline.prepare_run = lambda *args, **kwargs: run.prepare(before[2], *args, **kwargs)
    try:
        yield
    finally:
        LoadData.get_measurement_columns, LoadData.open_csv, Pipeline.prepare_run = before


class _Run:
    """Replacements for methods of CellProfiler; `original` is the replaced method."""

    def __init__(self, numbering: Numbering, whole: Path) -> None:
        self._numbering = numbering
        self._whole = whole
        self._alone = True
        self._typing = False

    def columns(self, original: Any, module: Any, pipeline: Any) -> Any:
        """Determine the types of LoadData's columns."""
        self._typing = self._alone
        try:
            return original(module, pipeline)
        finally:
            self._typing = False

    def open_csv(self, original: Any, module: Any, do_not_cache: bool = False) -> Any:
        """Open the CSV, or the rows that determine its types."""
        if self._typing:
            return open(self._numbering.type_rows, encoding="utf-8")
        return original(module, do_not_cache)

    def prepare(self, original: Any, pipeline: Any, workspace: Any, end_module: Any = None) -> Any:
        """Prepare the run; then give its image sets the numbers of the whole CSV."""
        if not _may_see_group_alone(pipeline):
            logging.info("A module of the pipeline prepares the run itself: reading all rows.")
            numbering = self._numbering
            write_whole(Path(numbering.csv_file), self._whole, PathMapping(**numbering.paths))
            preferences.set_data_file(str(self._whole))
            self._alone = False
        prepared = original(pipeline, workspace, end_module)
        if prepared and self._alone:
            _number(workspace.measurements, self._numbering)
        return prepared


def _may_see_group_alone(pipeline: Any) -> bool:
    kinds: list[Any] = [type(module) for module in pipeline.modules()]
    return all(
        kind.prepare_run.__module__ in _PREPARED
        and kind.get_groupings.__module__ in _GROUPING
        and kind.prepare_group.__module__.startswith(_OWN)
        for kind in kinds
    )


def _number(measurements: Any, numbering: Numbering) -> None:
    if measurements.has_groups():
        raise ValueError("CellProfiler found several groups in the rows of one group.")
    old = measurements.get_image_numbers()
    new = numpy.arange(len(old)) + numbering.first
    renumbered = numpy.zeros(len(old) + 1, int)
    renumbered[old] = new
    measurements.reorder_image_measurements(renumbered)
    measurements.hdf5_dict.add_all(IMAGE, IMAGE_NUMBER, new, new)
    groups = numpy.full(len(old), numbering.group_number)
    measurements.add_all_measurements(IMAGE, GROUP_NUMBER, groups)
    measurements.flush()
