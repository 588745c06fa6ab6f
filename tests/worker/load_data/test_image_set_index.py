"""Image sets of a CSV, compared with CellProfiler's own: numbers, groups, values, types."""

from __future__ import annotations

import concurrent.futures
import fcntl
import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dcp_worker.common.cancellation import Check, InterruptedJobError, Interruption
from dcp_worker.load_data import image_set_index
from dcp_worker.load_data.group_match import CsvError
from dcp_worker.load_data.job_csv import select, write_whole
from dcp_worker.load_data.local_paths import PathMapping
from hypothesis import example, given, settings
from hypothesis import strategies as st

import plate

PLACES = PathMapping("images.bucket", "/slot/images")
# A well with images that are not in S3: no job can process it, but LoadData reads its rows.
UNFIT = "C03"
Rows = list[dict[str, str]]


def rows_of(**columns: list[str]) -> Rows:
    """Rows of a CSV with these columns, each with an image."""
    names, values = list(columns), list(columns.values())
    return [
        {
            "FileName_DNA": f"{number}.tif",
            "PathName_DNA": f"/home/ubuntu/bucket/{number % 3 * 'a'}b",
            **dict(zip(names, row)),
        }
        for number, row in enumerate(zip(*values))
    ]


@pytest.fixture(scope="module", autouse=True)
def _headless() -> None:
    from cellprofiler_core import preferences

    preferences.set_headless()


@contextmanager
def given_to_cellprofiler(csv_file: Path, tags: str) -> Iterator[tuple[Any, Any]]:
    """A pipeline with only LoadData, and its workspace, prepared for a run over a CSV."""
    from cellprofiler_core import preferences
    from cellprofiler_core.measurement import Measurements
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.workspace import Workspace

    preferences.set_data_file(str(csv_file))
    pipeline = Pipeline()
    pipeline.loadtxt(io.StringIO(load_data(tags)))
    measurements = Measurements()
    try:
        workspace = Workspace(pipeline, None, None, None, measurements, None)
        columns = pipeline.get_measurement_columns()
        assert pipeline.prepare_run(workspace)
        yield columns, workspace
    finally:
        measurements.close()


def load_data(tags: str) -> str:
    head = plate.pipeline().partition("LoadData:")[0].replace("ModuleCount:4", "ModuleCount:1")
    return head + plate.LOAD_DATA.format(tags=tags)


def values_of(workspace: Any, numbers: Any) -> dict[str, tuple[str, list[str]]]:
    """Type and values of all measurements of image sets."""
    measurements = workspace.measurements
    dtype = measurements.hdf5_dict.get_feature_dtype
    return {
        name: (str(dtype("Image", name)), list(map(str, measurements["Image", name, numbers])))
        for name in [*measurements.get_feature_names("Image"), "ImageNumber"]
    }


def check_against_cellprofiler(
    rows: Rows, tags: str, folders: tuple[str, ...] = ("/slot/images",)
) -> None:
    """Every group of a CSV, run alone, equals the group in a run over the whole CSV.

    The index is built for the first folder, and used for all of them.
    """
    with tempfile.TemporaryDirectory() as name:
        csv_file, pipeline = Path(name, "given.csv"), Path(name, "p.cppipe")
        csv_file.write_text(plate.load_data(rows))
        pipeline.write_text(load_data(tags))
        for folder in folders:
            check_groups(csv_file, pipeline, tags, PathMapping("images.bucket", folder))


def check_groups(csv_file: Path, pipeline: Path, tags: str, paths: PathMapping) -> None:
    from dcp_worker.cellprofiler import row_numbering

    target, index = csv_file.with_name("load_data.csv"), csv_file.with_name("index")
    write_whole(csv_file, target, paths)
    with given_to_cellprofiler(target, tags) as (all_columns, workspace):
        expected = {
            tuple(group.items()): values_of(workspace, numbers)
            for group, numbers in workspace.pipeline.get_groupings(workspace)[1]
            if UNFIT not in group.values()
        }
    for group, values in expected.items():
        selection = select(csv_file, "e", index, pipeline, group, paths, target, lambda: None)
        assert selection.numbering is not None
        with (
            row_numbering.as_in_whole_csv(selection.numbering),
            given_to_cellprofiler(selection.data_file, tags) as (columns, workspace),
        ):
            numbers = workspace.measurements.get_image_numbers()
            assert values_of(workspace, numbers) == values
            assert columns == all_columns


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["P1", "P2", "P10", "p1", "Pü", "P 1"]),
            st.sampled_from(["2", "02", "10", "-1", "2.0", "2.50", "1e3", "3000000000", "x", ""]),
            st.sampled_from(["1", "007", "0.5", "a", "much longer", "nan"]),
        ),
        min_size=1,
        max_size=8,
    )
)
@example([("P1", "02", "1"), ("P1", "2.5", "1"), ("P1", "10", "much longer")])
@example([("P1", "10", "1"), ("P1", "9", "0.5"), ("P1", "10", "7")])
@pytest.mark.e2e
def test_groups_are_numbered_and_typed_as_in_cellprofiler(rows: list[tuple[str, ...]]) -> None:
    plates, sites, doses = map(list, zip(*rows))
    columns = {"Metadata_Plate": plates, "Metadata_Site": sites, "Titration_Dose": doses}
    check_against_cellprofiler(rows_of(**columns), "Plate,Site")


@pytest.mark.parametrize(
    ("columns", "tags"),
    [
        # The order of keys in the pipeline counts, not in the CSV.
        ({"Metadata_A": ["1", "2", "1", "2"], "Metadata_B": ["y", "x", "x", "y"]}, "B,A"),
        # A well column is text, and LoadData joins the two.
        ({"Metadata_WellRow": ["B", "A", "B"], "Metadata_WellColumn": ["02", "2", "02"]}, "Well"),
        ({"Metadata_Row": ["A", "A"], "Metadata_Col": ["01", "1"]}, "Col,Row"),
        # Columns that differ only in case are different columns.
        ({"Metadata_Well": ["A1", "a1"], "Metadata_well": ["1", "2"]}, "Well"),
    ],
)
def test_odd_groupings_are_as_in_cellprofiler(columns: dict[str, list[str]], tags: str) -> None:
    check_against_cellprofiler(rows_of(**columns), tags)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_value_of_two_lines_is_as_in_cellprofiler(line_end: str, tmp_path: Path) -> None:
    csv_file, pipeline = tmp_path / "given.csv", tmp_path / "p.cppipe"
    text = f'FileName_DNA,Metadata_Note,Metadata_Site\na.tif,"one{line_end}two",1\nb.tif,three,2\n'
    csv_file.write_bytes(text.encode())
    pipeline.write_text(load_data("Site"))
    check_groups(csv_file, pipeline, "Site", PLACES)


def test_image_columns_of_all_forms_have_the_types_of_the_whole_csv() -> None:
    usual = {
        "FileName_DNA": "1.tif",
        "PathName_DNA": "a",
        "URL_RNA": "s3://b/a b.tif",
        "ObjectsFileName_Nuclei": "e.tif",
        "ObjectsPathName_Nuclei": "x",
        "FileName_Rule": "",
        "Metadata_Well": "A01",
    }
    in_s3 = {
        "FileName_DNA": "down/there/1.tif",
        "PathName_DNA": "/home/ubuntu/bucket/in/there/",
        "URL_RNA": "s3://other/in/there.tif",
        "ObjectsFileName_Nuclei": "../far/away.tif",
        "ObjectsPathName_Nuclei": "x/y/z",
        "FileName_Rule": "/home/ubuntu/bucket/where/it/is.tif",
    }
    elsewhere = "/mnt/which/is/longer/than/a/path/in/s3"
    not_in_s3 = {
        "PathName_DNA": elsewhere,
        "URL_RNA": f"https://example.org{elsewhere}",
        "ObjectsPathName_Nuclei": elsewhere,
        "FileName_Rule": elsewhere,
    }
    rows = [usual, *({**usual, name: value} for name, value in in_s3.items())]
    rows += [{**usual, "Metadata_Well": UNFIT, name: text} for name, text in not_in_s3.items()]
    check_against_cellprofiler(rows, "Well", ("/s", f"/{'slot' * 20}/images", "/s"))


def find(
    csv_file: Path, group: Mapping[str, str], check: Check = lambda: None
) -> image_set_index.ImageSets:
    index = csv_file.with_name("index")
    return image_set_index.find(csv_file, "e", index, list(group), group, PLACES, check)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_rows_are_found_wherever_their_lines_begin(tmp_path: Path, line_end: str) -> None:
    lines = [
        "\ufeffFileName_DNA,Metadata_Note,Metadata_Well",
        'ü.tif,"two\nlines",A01',
        "",
        'b.tif,"with ""quotes"", and a comma",B02,surplus',
        "c.tif,,A01",
    ]
    csv_file = tmp_path / "given.csv"
    csv_file.write_bytes(line_end.join(lines).encode())
    assert find(csv_file, {"Metadata_Well": "A01"}).rows == [
        ["ü.tif", "two\nlines", "A01"],
        ["c.tif", "", "A01"],
    ]
    sets = find(csv_file, {"Metadata_Well": "B02"})
    assert sets.rows == [["b.tif", 'with "quotes", and a comma', "B02"]]
    assert sets.header == ["FileName_DNA", "Metadata_Note", "Metadata_Well"]
    assert (sets.first, sets.group_number) == (3, 2)


def well_csv(folder: Path, wells: int = 200) -> Path:
    csv_file = folder / "given.csv"
    csv_file.write_text(plate.load_data(rows_of(Metadata_Well=[f"W{n}" for n in range(wells)])))
    return csv_file


def give_up() -> None:
    """A check that interrupts."""
    raise InterruptedJobError(Interruption.STOPPING)


W7 = {"Metadata_Well": "W7"}


def test_a_csv_is_read_once(tmp_path: Path) -> None:
    csv_file = well_csv(tmp_path)
    find(csv_file, {"Metadata_Well": "W1"})
    # Reading the CSV would call the check, which interrupts.
    assert [row[0] for row in find(csv_file, W7, give_up).rows] == ["7.tif"]


def test_an_interrupted_reading_leaves_nothing_behind(tmp_path: Path) -> None:
    csv_file = well_csv(tmp_path)
    with pytest.raises(InterruptedJobError):
        find(csv_file, W7, give_up)
    assert [path.suffix for path in (tmp_path / "index").iterdir()] == [".lock"]


def test_only_one_slot_reads_a_csv_and_the_others_wait(tmp_path: Path) -> None:
    csv_file = well_csv(tmp_path)
    with pytest.raises(InterruptedJobError):
        find(csv_file, W7, give_up)
    (lock,) = (tmp_path / "index").iterdir()
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InterruptedJobError):
            find(csv_file, W7, give_up)
        with concurrent.futures.ThreadPoolExecutor() as others:
            waiting = [others.submit(find, csv_file, W7) for _ in range(3)]
            assert not concurrent.futures.wait(waiting, 0.2).done
            fcntl.flock(held, fcntl.LOCK_UN)
            results = [future.result(600) for future in waiting]
    assert results == [find(csv_file, W7)] * 3


@pytest.mark.parametrize("broken", [b"", b"garbage", None])
def test_a_damaged_index_is_built_again(tmp_path: Path, broken: bytes | None) -> None:
    csv_file = well_csv(tmp_path)
    sets = find(csv_file, W7)
    (index,) = (tmp_path / "index").glob("*.sqlite")
    content = index.read_bytes()
    index.write_bytes(content[: len(content) // 2] if broken is None else broken)
    index.with_suffix(".building").write_bytes(b"of a slot that was killed")
    assert find(csv_file, W7) == sets
    assert index.read_bytes() == content


def missing(tmp_path: Path, rows: Rows, group: Mapping[str, str]) -> str:
    """The error text for a group that does not exist."""
    csv_file = tmp_path / "given.csv"
    csv_file.write_text(plate.load_data(rows))
    with pytest.raises(CsvError) as error:
        find(csv_file, group)
    assert error.value.code == "group_not_found"
    return str(error.value)


@pytest.mark.parametrize(
    ("values", "value", "hint"),
    [
        (["1", "2", "03"], "03", "as the number 3, which"),
        (["1.5", "2"], "2", "as the number 2.0, which"),
        (["x", "04"], "4", "nearest to '4': '04'"),
        (["A01", "B02"], "b02", "nearest to 'b02': 'B02'"),
        (["A 01", "B 02"], "B02", "nearest to 'B02': 'B 02'"),
        (["A1", "B2"], "B02", "nearest to 'B02': 'B2'"),
        (["control", "treated"], "contrl", "nearest to 'contrl': 'control'"),
        ([f"{n}" for n in range(30)], "x", "values 0, 1, 10, 11, 12, 13, 14, 15, 16, 17, …"),
    ],
)
def test_the_value_that_was_meant_is_named(
    tmp_path: Path, values: list[str], value: str, hint: str
) -> None:
    text = missing(tmp_path, rows_of(Metadata_V=values), {"Metadata_V": value})
    assert hint in text
    assert "Metadata_V has the values" in text


def test_values_that_occur_but_not_together_are_named(tmp_path: Path) -> None:
    rows = rows_of(Metadata_Plate=["P1", "P1", "P2"], Metadata_Well=["A01", "B02", "C03"])
    text = missing(tmp_path, rows, {"Metadata_Plate": "P1", "Metadata_Well": "C03"})
    assert "where Metadata_Plate=P1, Metadata_Well has the values A01, B02" in text
    assert "where Metadata_Well=C03, Metadata_Plate has the values P2" in text


def test_the_column_that_was_meant_is_named(tmp_path: Path) -> None:
    text = missing(tmp_path, rows_of(Metadata_Well=["A01"]), {"Metadata_well": "A01"})
    assert "no column Metadata_well" in text
    assert "The nearest is Metadata_Well." in text
