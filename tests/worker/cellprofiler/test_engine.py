"""A CellProfiler that stays loaded behaves, prints and writes like its command line."""

from __future__ import annotations

import io
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dcp_worker.cellprofiler import command_line
from dcp_worker.cellprofiler.command_line import CellProfilerCall, CellProfilerEnd
from dcp_worker.cellprofiler.engine import Engine

import plate
from local_plate import B02, LocalPlate, never

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("engine")]


@pytest.fixture(scope="module")
def local_plate(tmp_path_factory: pytest.TempPathFactory) -> LocalPlate:
    return LocalPlate.make(tmp_path_factory.mktemp("local_plate"))


@pytest.fixture(scope="module")
def engine(local_plate: LocalPlate) -> Iterator[Engine]:
    engine = Engine(True, 0, logging.getLogger("test"), plugins=local_plate.plugins)
    engine.start()
    yield engine
    engine.close()


def warm(engine: Engine, local_plate: LocalPlate, call: CellProfilerCall) -> CellProfilerEnd:
    """Run a job in the process that stays loaded, and make sure that it was this process."""
    pid = engine.pid
    ended = engine.run(call, local_plate.temporary, 120, never, lambda line: None)
    assert engine.pid == pid is not None
    return ended


def cold(local_plate: LocalPlate, call: CellProfilerCall) -> CellProfilerEnd:
    return command_line.run(call, local_plate.temporary, 120, never, lambda line: None)


def rows(local_plate: LocalPlate, **first: str) -> str:
    """The plate's CSV, with changed cells in its first row."""
    changed = local_plate.rows()
    changed[0].update(first)
    return plate.load_data(changed)


def loaded() -> Any:
    """The plate's pipeline, loaded by CellProfiler for editing."""
    from cellprofiler_core import preferences

    preferences.set_headless()
    from cellprofiler_core.pipeline import Pipeline

    pipeline = Pipeline()
    pipeline.loadtxt(io.StringIO(plate.pipeline()))
    return pipeline


def new_module(name: str, **values: str) -> Any:
    """A module with some changed settings."""
    from cellprofiler_core.pipeline import Pipeline

    module = Pipeline.instantiate_module(name)
    for setting, value in values.items():
        getattr(module, setting).value = value
    return module


def dumped(pipeline: Any) -> str:
    file = io.StringIO()
    pipeline.dump(file, save_image_plane_details=False)
    return file.getvalue()


def rich() -> str:
    """A pipeline whose modules seed, cache, save and process the whole group."""
    pipeline = loaded()
    pipeline.modules()[1].unclump_method.value = "Shape"
    distribution = new_module("MeasureObjectIntensityDistribution", images_list="DNA")
    distribution.objects[0].object_name.value = "Nuclei"
    modules = [
        new_module("MeasureTexture", images_list="DNA", objects_list="Nuclei"),
        new_module("MeasureGranularity", images_list="DNA"),
        distribution,
        new_module(
            "CorrectIlluminationCalculate",
            image_name="DNA",
            illumination_image_name="Illum",
            each_or_all="All: First cycle",
        ),
        new_module("ConvertObjectsToImage", object_name="Nuclei", image_name="Labels"),
        new_module(
            "SaveImages",
            image_name="Labels",
            file_name_method="Single name",
            single_file_name=r"\g<Well>_\g<Site>",
            file_format="tiff",
        ),
    ]
    for number, module in enumerate(modules, start=4):
        module.module_num = number
        pipeline.add_module(module)
    return dumped(pipeline)


def jobs(local_plate: LocalPlate) -> dict[str, tuple[str | None, dict[str, object]]]:
    """Jobs by name: the reason for which each fails, and the changes to the usual job."""
    pipeline = rich()
    missing = rows(local_plate, FileName_DNA="gone.tif")
    return {
        "A01": (None, {"pipeline": pipeline}),
        "B02": (None, {"pipeline": pipeline, "group": B02}),
        "half": (None, {"data": missing, "always_continue": True}),
        "missing": ("file_missing", {"pipeline": pipeline, "data": missing}),
        "unknown": ("unknown_module", {"pipeline": plate.pipeline(unknown_module=True)}),
        "no rows": ("group_empty", {"pipeline": pipeline, "group": f"{B02}9"}),
        "wrong key": ("group_keys", {"pipeline": pipeline, "group": "Metadata_Foo=1"}),
    }


def test_outputs_are_equal_over_good_failing_and_good_again(
    engine: Engine, local_plate: LocalPlate
) -> None:
    expected = {}
    for name, (code, changes) in jobs(local_plate).items():
        ended = cold(local_plate, local_plate.call(**changes))
        assert local_plate.code(ended) == code, ended.log
        expected[name] = local_plate.outputs()
    assert len(expected["A01"]) == 5
    assert expected["half"]
    # Each kind of job after each other kind that could leave state behind.
    order = "A01 half missing B02 unknown A01 no_rows B02 half wrong_key A01 missing half A01"
    for name in (name.replace("_", " ") for name in order.split()):
        code, changes = jobs(local_plate)[name]
        ended = warm(engine, local_plate, local_plate.call(**changes))
        assert local_plate.code(ended) == code, ended.log
        if code is None:
            assert local_plate.outputs() == expected[name]


def table(local_plate: LocalPlate) -> dict[str, tuple[str, dict[str, object]]]:
    """The failure table: problem -> reason, and the changes to the usual job."""
    text = plate.pipeline()
    header = plate.load_data(local_plate.rows()).partition("\n")[0]
    (local_plate.root / "zero.tif").write_bytes(b"")
    (local_plate.root / "file").write_bytes(b"")
    zero = rows(local_plate, FileName_DNA="zero.tif", PathName_DNA=str(local_plate.root))
    by_site = {"pipeline": plate.pipeline(tags="Site"), "group": "Metadata_Site=002"}
    short = plate.load_data(local_plate.rows()).rsplit(",", 2)[0] + "\n"
    return {
        "missing image": ("file_missing", {"data": rows(local_plate, FileName_DNA="gone.tif")}),
        "zero-byte image": ("image_unreadable", {"data": zero}),
        "no row of the group": ("group_empty", {"group": "Metadata_Plate=P1,Metadata_Well=Z99"}),
        "002 where CellProfiler reads 2": ("group_empty", by_site),
        "wrong grouping key": ("group_keys", {"group": "Metadata_Plate=P1"}),
        "malformed group": ("group_malformed", {"group": "A01"}),
        "CSV missing": ("file_missing", {"data_file": local_plate.root / "gone.csv"}),
        "CSV lacks a channel": ("channel_missing", {"pipeline": plate.pipeline(image="OrigRed")}),
        "malformed CSV": ("csv_malformed", {"data": short}),
        "CSV with a header only": ("csv_empty", {"data": f"{header}\n"}),
        "pipeline missing": ("pipeline_unreadable", {"given": local_plate.root / "gone.cppipe"}),
        "pipeline empty": ("pipeline_unreadable", {"pipeline": ""}),
        "pipeline garbage": ("pipeline_unreadable", {"pipeline": "hello\nworld\n" * 10}),
        "pipeline truncated": (
            "pipeline_broken",
            {"pipeline": text[: text.index("Data to") + 5]},
        ),
        "unknown module": ("unknown_module", {"pipeline": plate.pipeline(unknown_module=True)}),
        "output folder": ("output_folder", {"output_folder": local_plate.root / "file" / "output"}),
        "no export": (
            "no_outputs",
            {
                "pipeline": text[: text.index("ExportTo")].replace("Count:4", "Count:3"),
            },
        ),
    }


# The command line runs the loaded part of such a pipeline; the process that stays rejects it.
PARTLY_LOADED = ("pipeline_broken", "unknown_module")


def test_every_row_of_the_failure_table_fails_as_on_the_command_line(
    engine: Engine, local_plate: LocalPlate
) -> None:
    for name, (code, changes) in table(local_plate).items():
        ended = cold(local_plate, local_plate.call(**changes))
        assert local_plate.code(ended) == code, (name, ended.log)
        by_command_line = (
            last_error(ended),
            ended.exit_status,
            local_plate.done(),
            local_plate.outputs(),
        )
        ended = warm(engine, local_plate, local_plate.call(**changes))
        assert local_plate.code(ended) == code, (name, ended.log)
        by_engine = last_error(ended), ended.exit_status, local_plate.done(), local_plate.outputs()
        if code in PARTLY_LOADED:
            assert (ended.exit_status, local_plate.done()) == (1, None)
        else:
            assert by_engine == by_command_line, name
    ended = warm(engine, local_plate, local_plate.call())
    assert local_plate.code(ended) is None, ended.log


def last_error(ended: CellProfilerEnd) -> str:
    """The last line that names an error."""
    errors = [line for line in ended.log if re.match(r"[\w.]*(Error|Exception):", line)]
    return errors[-1]


def test_a_list_of_files_and_a_batch_file(engine: Engine, local_plate: LocalPlate) -> None:
    listed = local_plate.root / "images.txt"
    listed.write_text(
        "".join(f"{row['PathName_DNA']}/{row['FileName_DNA']}\n" for row in local_plate.rows())
    )
    from_list = {"pipeline": of_list(), "data_file": listed, "group": ""}
    cold(local_plate, local_plate.call(pipeline=of_list(batch=True), data_file=listed, group=""))
    batch = shutil.copy(local_plate.job / "output" / "Batch_data.h5", local_plate.root)
    from_batch = {"given": Path(batch), "data_file": None, "group": "Metadata_Well=B02"}
    for changes in (from_list, from_batch):
        ended = cold(local_plate, local_plate.call(**changes))
        assert local_plate.code(ended) is None, ended.log
        expected = local_plate.outputs()
        for between in ({}, {"pipeline": plate.pipeline(unknown_module=True)}):
            warm(engine, local_plate, local_plate.call(**between))
            ended = warm(engine, local_plate, local_plate.call(**changes))
            assert local_plate.code(ended) is None, ended.log
            assert local_plate.outputs() == expected


# State that an earlier job could have changed for modules and CellProfiler itself.
STATE = """
import hashlib, logging, os, sys, tempfile, warnings
import h5py, numpy, psutil
from cellprofiler_core import preferences as p
from cellprofiler_core.modules import loaddata
os.environ.pop("PYTEST_CURRENT_TEST", None)
state = dict(
    always=p.get_always_continue(), data=p.get_data_file(), out=p.get_default_output_directory(),
    images=p.get_default_image_directory(), plugins=p.get_plugin_directory(),
    listed=p.get_image_set_file(), temporary=p.get_temporary_directory(),
    schema=p.get_allow_schema_write(), memory=p.get_conserve_memory(), headless=p.get_headless(),
    tempfile=tempfile.gettempdir(), folder=os.getcwd(), environment=sorted(os.environ),
    variables=hashlib.md5(repr(sorted(os.environ.items())).encode()).hexdigest(),
    files=sorted(os.listdir(p.get_temporary_directory()))[1:], errors=numpy.geterr(),
    handlers=[(type(h).__name__, h.stream is sys.stderr) for h in logging.root.handlers],
    level=logging.root.level, headers=len(loaddata.header_cache), filters=len(warnings.filters),
    open=h5py.h5f.get_obj_count(types=h5py.h5f.OBJ_FILE), stdin=os.readlink("/proc/self/fd/0"),
    children=len(psutil.Process().children()), module="made_by_a_job" in sys.path,
)
for name, value in sorted(state.items()):
    print("STATE", name, value)
warnings.warn("STATE is said to be deprecated", UserWarning)
"""
MESS = """
import logging, os, random, subprocess, sys, tempfile, warnings
import h5py, numpy
from cellprofiler_core import preferences as p
os.environ["LEFT_BY_A_JOB"] = "1"
del os.environ["TMPDIR"]
os.chdir("/")
sys.path.append("made_by_a_job")
sys.stdout = open(os.devnull, "w")
logging.root.setLevel(logging.ERROR)
logging.root.addHandler(logging.NullHandler())
warnings.simplefilter("ignore")
warnings.warn("STATE is said to be deprecated", UserWarning)
numpy.seterr(all="raise")
p.set_conserve_memory(True)
p.set_allow_schema_write(False)
p.set_default_image_directory("/")
p.set_temporary_directory("/", globally=True)
left = h5py.File("left.h5", "w", driver="core", backing_store=False)
workspace.left, left.workspace = left, workspace
subprocess.Popen(["sleep", "600"], start_new_session=True)
raise ZeroDivisionError("left in the middle")
"""


def state(ended: CellProfilerEnd) -> list[str]:
    return [line for line in ended.log if "STATE" in line and "warnings.warn" not in line]


def test_nothing_of_a_job_reaches_the_next(engine: Engine, local_plate: LocalPlate) -> None:
    expected = state(cold(local_plate, local_plate.python(STATE)))
    assert len(expected) > 40
    assert state(warm(engine, local_plate, local_plate.python(STATE))) == expected
    for continuing in (False, True):
        ended = warm(engine, local_plate, local_plate.python(MESS, always_continue=continuing))
        assert any("left in the middle" in line for line in ended.log)
        assert state(warm(engine, local_plate, local_plate.python(STATE))) == expected


def test_a_pipeline_that_needs_other_plugins(engine: Engine, local_plate: LocalPlate) -> None:
    pid = engine.pid
    call = local_plate.python("", plugins=None)
    ended = engine.run(call, local_plate.temporary, 120, never, lambda line: None)
    assert local_plate.code(ended) == "unknown_module"
    assert engine.pid != pid
    ended = engine.run(local_plate.python(""), local_plate.temporary, 120, never, lambda line: None)
    assert local_plate.code(ended) is None, ended.log


def of_list(batch: bool = False) -> str:
    """A pipeline that counts the nuclei of a file list by well, or makes a batch file of it."""
    pipeline = loaded()
    pipeline.remove_module(1)
    pipeline.init_modules()
    _, metadata, names, groups = pipeline.modules()[:4]
    metadata.wants_metadata.value = True
    metadata.extraction_methods[0].file_regexp.value = r"^(?P<Well>[A-P]\d\d)_s(?P<Site>\d)"
    names.single_image_provider.value = "DNA"
    groups.wants_groups.value = True
    groups.grouping_metadata[0].metadata_choice.value = "Well"
    if batch:
        module = new_module("CreateBatchFiles")
        module.module_num = 8
        pipeline.add_module(module)
    return dumped(pipeline)
