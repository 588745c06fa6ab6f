"""The grouping read from a pipeline's text, compared with CellProfiler's own."""

from __future__ import annotations

import io
from typing import Any

import pytest
from dcp_worker.load_data.pipeline_text import grouping

import plate

TEXT = plate.pipeline("Plate,Well,Site")
KEYS = ("Metadata_Plate", "Metadata_Well", "Metadata_Site")


def test_the_keys_stand_in_the_pipelines_order() -> None:
    assert grouping(TEXT) == KEYS
    assert grouping(TEXT.replace("\n", "\r\n")) == KEYS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Process just a range of rows?:No", "Process just a range of rows?:Yes"),
        ("Group images by metadata?:Yes", "Group images by metadata?:No"),
        ("Load images based on this data?:Yes", "Load images based on this data?:No"),
        ("for grouping:Plate,Well,Site", "for grouping:"),
        ("for grouping:Plate,Well,Site", "for grouping:Plate,Plate"),
        ("for grouping:Plate,Well,Site", "for grouping:Pl\\x61te"),
        ("variable_revision_number:6", "variable_revision_number:3"),
        ("variable_revision_number:6", "variable_revision_number:7"),
        ("|enabled:True|wants_pause:False]\n    Input", "|enabled:False]\n    Input"),
        ("IdentifyPrimaryObjects:[", "LoadData:["),
        ("LoadData:[", "Images:["),
    ],
)
def test_whatever_is_unusual_needs_the_whole_csv(old: str, new: str) -> None:
    assert old in TEXT
    assert grouping(TEXT.replace(old, new, 1)) is None


@pytest.mark.parametrize("text", ["", "garbage", "\x89HDF\r\n", TEXT.partition("Rows to")[0]])
def test_a_text_that_is_no_pipeline_has_no_grouping(text: str) -> None:
    assert grouping(text) is None


def test_a_module_that_is_switched_off_counts_for_nothing() -> None:
    off = "CreateBatchFiles:[module_num:1|variable_revision_number:8|notes:[]|enabled:False]\n"
    assert grouping(TEXT.replace("LoadData:[", f"{off}    A setting:Yes\n\nLoadData:[")) == KEYS


def test_notes_are_not_taken_for_attributes() -> None:
    notes = "notes:['|enabled:False|variable_revision_number:1|', 'LoadData:[]']"
    text = TEXT.replace("notes:[]", notes, 1)
    assert grouping(text) == KEYS == keys_of_cellprofiler(text)


def test_what_cellprofiler_saves_is_read_as_it_reads_it() -> None:
    assert grouping(saved(TEXT)) == KEYS == keys_of_cellprofiler(saved(TEXT))


def saved(text: str) -> str:
    file = io.StringIO()
    loaded(text).dump(file)
    return file.getvalue()


def keys_of_cellprofiler(text: str) -> tuple[str, ...]:
    module = loaded(text).modules()[0]
    assert module.enabled
    return tuple(f"Metadata_{tag}" for tag in module.metadata_fields.selections)


def loaded(text: str) -> Any:
    from cellprofiler_core import preferences

    preferences.set_headless()
    from cellprofiler_core.pipeline import Pipeline

    pipeline = Pipeline()
    pipeline.loadtxt(io.StringIO(text), raise_on_error=True)
    return pipeline
