"""The rows of a group alone give the same outputs as the whole CSV."""

from __future__ import annotations

import csv
import io
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dcp_worker.cellprofiler.command_line import CellProfilerCall
from dcp_worker.cellprofiler.engine import Engine
from dcp_worker.load_data.job_csv import select, write_whole
from dcp_worker.load_data.local_paths import PathMapping

import plate

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("numbering")]

BUCKET = "images.bucket"
# Columns that differ in every run, with any CSV.
OWN = ("ExecutionTime", "Timestamp")

Rows = list[dict[str, str]]
Group = tuple[tuple[str, str], ...]


def rows_of(wells: int, sites: int) -> Rows:
    """A plate with rows in site order, so that no group's rows are adjacent."""
    return [
        {
            "FileName_DNA": f"{well:03d}_s{site}.tif",
            "PathName_DNA": f"/home/ubuntu/bucket/{plate.IMAGES_KEY}",
            "Metadata_Plate": "P1",
            "Metadata_Well": f"{'HGFEDCBA'[well % 8]}{well // 8 + 1:02d}",
            "Metadata_Site": f"{site:02d}",
        }
        for site in range(1, sites + 1)
        for well in range(wells)
    ]


WELL: Group = (("Metadata_Plate", "P1"), ("Metadata_Well", "C07"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # ExportToDatabase uses mysqlclient's exceptions and escaping even for SQLite. The image has it;
    # the test environment may not.
    mysql = tmp_path_factory.mktemp("path") / "MySQLdb"
    mysql.mkdir()
    (mysql / "__init__.py").write_text("Error = OSError\nescape_string = str.encode\n")
    (mysql / "cursors.py").write_text("class SSCursor: ...\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(mysql.parent), prepend=os.pathsep)
        engine = Engine(True, 0, logging.getLogger("test"))
        engine.start()
        yield engine
        engine.close()


def modules(*texts: str, tags: str = "Plate,Well") -> str:
    """A pipeline that counts nuclei, with further modules before its export."""
    from cellprofiler_core import preferences

    preferences.set_headless()
    from cellprofiler_core.pipeline import Pipeline

    pipeline = Pipeline()
    pipeline.loadtxt(io.StringIO(plate.pipeline(tags)))
    for number, text in enumerate(texts):
        module = new_module(text)
        module.set_module_num(4 + number)
        pipeline.add_module(module)
    file = io.StringIO()
    pipeline.dump(file)
    return file.getvalue()


def new_module(name: str) -> Any:
    """A module, configured for the image DNA or the objects Nuclei."""
    from cellprofiler_core.pipeline import Pipeline

    module = Pipeline.instantiate_module(name.partition(" ")[0])
    changes: Mapping[str, Sequence[tuple[str, str]]] = {
        "SaveImages sequential": [
            ("image_name", "DNA"),
            ("file_name_method", "Sequential numbers"),
            ("single_file_name", r"\g<Plate>_\g<Site>_"),
            ("file_format", "png"),
            ("update_file_names", "Yes"),
        ],
        "CorrectIlluminationCalculate": [
            ("image_name", "DNA"),
            ("illumination_image_name", "Illum"),
            ("each_or_all", "All: First cycle"),
        ],
        "MakeProjection": [("image_name", "DNA"), ("projection_image_name", "Projection")],
        "MeasureImageQuality": [],
        "TrackObjects": [("object_name", "Nuclei")],
        "ExportToDatabase": [
            ("db_type", "SQLite"),
            ("sqlite_file", "made.db"),
            ("wants_agg_mean", "Yes"),
        ],
    }
    for setting, value in changes[name]:
        getattr(module, setting).value = value
    return module


def both(
    folder: Path, engine: Engine, rows: Rows, group: Group, pipeline: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A group's outputs from its rows alone, and from the command line with the whole CSV."""
    alone = prepared(folder, rows, group, pipeline)
    assert alone.numbering is not None
    return outputs(engine, alone), outputs(Engine(False, 0, logging.getLogger("test")), alone)


def prepared(folder: Path, rows: Rows, group: Group, pipeline: str) -> CellProfilerCall:
    original, text = folder / "given.csv", folder / "p.cppipe"
    original.write_text(plate.load_data(rows))
    text.write_text(pipeline)
    paths = PathMapping(BUCKET, str(folder / "images"))
    index, target = folder / "index", folder / "load_data.csv"
    selection = select(original, "etag", index, text, group, paths, target, lambda: None)
    for number, path in enumerate(selection.images):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(plate.image(1 + number % 5))
    (folder / "input").mkdir()
    return CellProfilerCall(
        pipeline=text,
        data_file=selection.data_file,
        group=",".join(f"{key}={value}" for key, value in group),
        input_folder=folder / "input",
        output_folder=folder / "output",
        done_file=folder / "done",
        numbering=selection.numbering,
        whole_csv=partial(whole, original, folder / "whole.csv", paths),
    )


def whole(original: Path, target: Path, paths: PathMapping) -> Path:
    write_whole(original, target, paths)
    return target


def outputs(engine: Engine, call: CellProfilerCall) -> dict[str, Any]:
    """The comparable outputs of a run in empty folders."""
    temporary = call.output_folder.parent / "tmp"
    for folder in (call.output_folder, temporary):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    ended = engine.run(call, temporary, 300, lambda: None, lambda line: None)
    assert ended.exit_status == 0, "\n".join(ended.log)
    assert call.done_file.read_text() == "Complete\n"
    paths = [path for path in call.output_folder.rglob("*") if path.is_file()]
    assert paths
    return {str(path.relative_to(call.output_folder)): content(path) for path in paths}


def content(path: Path) -> Any:
    if path.suffix == ".csv":
        return table(list(csv.reader(io.StringIO(path.read_text()))))
    if path.suffix == ".db":
        return database(path)
    return path.read_bytes()


def table(rows: list[list[str]]) -> list[list[str]]:
    if rows[0] == ["Key", "Value"]:
        return [row for row in rows if not any(name in row[0] for name in OWN)]
    columns = [at for at, name in enumerate(rows[0]) if not any(own in name for own in OWN)]
    return [[row[at] for at in columns] for row in rows]


def database(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    schema = list(connection.execute("SELECT name, type, sql FROM sqlite_master ORDER BY 1, 2"))
    contents: list[Any] = [schema]
    for name in [name for name, kind, _ in schema if kind == "table"]:
        cursor = connection.execute(f"SELECT * FROM {name}")
        header = [column for column, *_ in cursor.description]
        rows = [[str(value) for value in row] for row in cursor]
        contents.append([name, table([header, *rows])])
    connection.close()
    return contents


def test_image_numbers_and_groups(tmp_path: Path, engine: Engine) -> None:
    rows = rows_of(96, 3)
    alone, all_rows = both(tmp_path, engine, rows, WELL, modules())
    assert alone == all_rows
    header, *images = alone["Image.csv"]
    at = {name: index for index, name in enumerate(header)}
    wells = sorted({row["Metadata_Well"] for row in rows})
    before = wells.index("C07")
    assert [row[at["ImageNumber"]] for row in images] == [str(3 * before + n) for n in (1, 2, 3)]
    assert {row[at["Group_Number"]] for row in images} == {str(before + 1)}
    assert [row[at["Group_Index"]] for row in images] == ["1", "2", "3"]
    assert {row[at["Group_Length"]] for row in images} == {"3"}


def test_modules_that_read_beyond_one_image_set(tmp_path: Path, engine: Engine) -> None:
    rows = rows_of(96, 3)
    # Only other wells make these columns float, text, and wide.
    notes = {
        row["Metadata_Well"]: {
            "Metadata_Dose": "0.5" if row["Metadata_Well"] == "A01" else "1",
            "Metadata_Note": "none" if row["Metadata_Well"] == "B02" else "007",
            "Titration_Salt": "1234.5678" if row["Metadata_Well"] == "H12" else "2",
        }
        for row in rows
    }
    rows = [{**row, **notes[row["Metadata_Well"]]} for row in rows]
    rows[5]["FileName_DNA"] = "a file of a far longer name than all others.tif"
    pipeline = modules(
        "CorrectIlluminationCalculate",
        "MeasureImageQuality",
        "TrackObjects",
        "MakeProjection",
        "SaveImages sequential",
        "ExportToDatabase",
    )
    alone, all_rows = both(tmp_path, engine, rows, WELL, pipeline)
    assert alone == all_rows
    header, first, *_ = alone["Image.csv"]
    values = dict(zip(header, first))
    assert (values["Metadata_Dose"], values["Metadata_Note"]) == ("1.0", "007")
    assert {"P1_1_0091.png", "P1_2_0092.png", "P1_3_0093.png"} <= set(alone)


PLUGIN = """
import os
from cellprofiler_core.module import Module
from cellprofiler_core.preferences import get_default_output_directory

class CountSets(Module):
    module_name, category, variable_revision_number = "CountSets", "Other", 1
    def create_settings(self): pass
    def settings(self): return []
    def run(self, workspace): pass
    def prepare_run(self, workspace):
        with open(os.path.join(get_default_output_directory(), "sets.txt"), "w") as file:
            file.write(str(workspace.measurements.image_set_count))
        return True
"""


def test_a_module_that_prepares_the_run_sees_all_image_sets(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "countsets.py").write_text(PLUGIN)
    module = "CountSets:[module_num:5|variable_revision_number:1|notes:[]|enabled:True]\n"
    text = plate.pipeline().replace("ModuleCount:4", "ModuleCount:5") + f"\n{module}"
    engine = Engine(True, 0, logging.getLogger("test"), plugins=plugins)
    try:
        call = replace(prepared(tmp_path, rows_of(96, 3), WELL, text), plugins=plugins)
        assert call.numbering is not None
        alone = outputs(engine, call)
    finally:
        engine.close()
    assert alone["sets.txt"] == str(96 * 3).encode()
    assert alone == outputs(Engine(False, 0, logging.getLogger("test")), call)


def test_rows_and_columns_of_wells(tmp_path: Path, engine: Engine) -> None:
    rows = rows_of(96, 2)
    for row in rows:
        well = row.pop("Metadata_Well")
        row.update(Metadata_WellRow=well[0], Metadata_WellColumn=well[1:])
    alone, all_rows = both(tmp_path, engine, rows, WELL, modules())
    assert alone == all_rows
    assert "Metadata_Well" in alone["Image.csv"][0]
