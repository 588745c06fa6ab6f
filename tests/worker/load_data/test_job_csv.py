"""LoadData CSVs: the same rows as CellProfiler finds, and a local CSV with them."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Callable

import pytest
from dcp_worker.load_data.group_match import CsvError
from dcp_worker.load_data.job_csv import Selection, localize_list, select
from dcp_worker.load_data.local_paths import PathMapping, S3Object
from hypothesis import example, given
from hypothesis import strategies as st

import plate

PLACES = PathMapping("images.bucket", "/slot/images")
A01 = (("Metadata_Plate", "P1"), ("Metadata_Well", "A01"))


def selected(text: str, group: tuple[tuple[str, str], ...] = A01) -> tuple[Selection, list[dict]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        original, pipeline = folder / "given.csv", folder / "p.cppipe"
        original.write_bytes(text.encode())
        pipeline.write_text(plate.pipeline())
        target, index = folder / "load_data.csv", folder / "index"
        selection = select(original, "e", index, pipeline, group, PLACES, target, lambda: None)
        with target.open(newline="") as local:
            return selection, list(csv.DictReader(local))


def column(name: str, values: list[str]) -> str:
    return plate.load_data([{name: value, "Metadata_X": "x"} for value in values])


def test_the_rows_and_images_of_the_group() -> None:
    rows = plate.load_data_rows()
    selection, local = selected(plate.load_data(rows))
    folder = f"/slot/images/images.bucket/{plate.IMAGES_KEY}"
    assert selection.rows == 2
    assert selection.images == {
        f"{folder}/A01_s{site}.tif": S3Object("images.bucket", plate.image_key("A01", site))
        for site in plate.SITES
    }
    assert local == [{**row, "PathName_DNA": folder} for row in rows[:2]]


@pytest.mark.parametrize("name", ["ImageNumber", "Group_Number", "Group_Index", "Group_Length"])
def test_a_csv_that_numbers_its_image_sets_is_used_whole(name: str) -> None:
    rows = [{**row, name: str(7 - at)} for at, row in enumerate(plate.load_data_rows())]
    selection, local = selected(plate.load_data(rows))
    assert selection.numbering is None
    assert len(selection.images) == selection.rows == 2
    assert [row[name] for row in local] == [row[name] for row in rows]


@pytest.mark.parametrize(
    ("path", "s3_object"),
    [
        ("/home/ubuntu/bucket/a/b.tif", S3Object("images.bucket", "a/b.tif")),
        ("/home/ubuntu/bucket//a/./b.tif", S3Object("images.bucket", "a/b.tif")),
        ("a/b.tif", S3Object("images.bucket", "a/b.tif")),
        ("s3://other.bucket/a/b.tif", S3Object("other.bucket", "a/b.tif")),
        ("file:/home/ubuntu/bucket/a/b%20c.tif", S3Object("images.bucket", "a/b c.tif")),
        ("file:///home/ubuntu/bucket/a/b.tif", S3Object("images.bucket", "a/b.tif")),
        ("/home/ubuntu/elsewhere/b.tif", None),
        ("/home/ubuntu/bucket/../b.tif", None),
        ("../b.tif", None),
        ("https://example.org/b.tif", None),
        ("s3://bucket", None),
        ("s3://other.bucket/a b/ü+%20#?.tif", S3Object("other.bucket", "a b/ü+%20#?.tif")),
        ("/home/ubuntu/bucket/ü+%20#?.tif", S3Object("images.bucket", "ü+%20#?.tif")),
    ],
)
def test_where_a_path_lies(path: str, s3_object: object) -> None:
    assert PLACES.object(path) == s3_object


@pytest.mark.parametrize(
    ("folder", "s3_object"),
    [
        ("/home/ubuntu/bucket/a/", S3Object("images.bucket", "a/b.tif")),
        ("a/", S3Object("images.bucket", "a/b.tif")),
        ("s3://other/a", S3Object("other", "a/b.tif")),
        ("s3://other/a/", S3Object("other", "a/b.tif")),
        ("s3://other/", S3Object("other", "b.tif")),
        ("s3://other", S3Object("other", "b.tif")),
        ("file:///home/ubuntu/bucket/a/", S3Object("images.bucket", "a/b.tif")),
    ],
)
def test_a_folder_may_end_in_a_slash(folder: str, s3_object: S3Object) -> None:
    row = {"FileName_DNA": "b.tif", "PathName_DNA": folder, **dict(A01)}
    selection, (local,) = selected(plate.load_data([row]))
    assert list(selection.images.values()) == [s3_object]
    assert f"{local['PathName_DNA']}/{local['FileName_DNA']}" in selection.images


def test_mounted_images_are_read_in_place_and_others_downloaded() -> None:
    paths = PathMapping("images.bucket", "/slot/images", mounted=True)
    mounted, other = S3Object("images.bucket", "a//b/../c.tif"), S3Object("other", "d.tif")
    assert paths.local(mounted) == "/home/ubuntu/bucket/a/c.tif"
    assert paths.local_folder("a/b") == "/home/ubuntu/bucket/a/b"
    assert paths.local(other) == "/slot/images/other/d.tif"
    assert PathMapping(**paths.arguments).local(mounted) == paths.local(mounted)


@given(st.text(alphabet="ab./", min_size=1))
def test_no_key_leaves_the_local_folder(key: str) -> None:
    local = PLACES.local(S3Object("bucket", key))
    assert local.startswith("/slot/images/bucket/")
    assert ".." not in local.split("/")


@pytest.fixture(scope="module")
def as_cellprofiler_reads() -> Callable[[list[str]], list[str]]:
    """Converts a column's values to the texts that CellProfiler compares, by its own code."""
    from cellprofiler_core import preferences

    preferences.set_headless()
    from cellprofiler_core.constants.measurement import (
        COLTYPE_FLOAT,
        COLTYPE_INTEGER,
        COLTYPE_VARCHAR,
    )
    from cellprofiler_core.utilities.core.modules.load_data import get_loaddata_type

    numbers = {COLTYPE_INTEGER: int, COLTYPE_FLOAT: float, COLTYPE_VARCHAR: str}

    def read(values: list[str]) -> list[str]:
        number = numbers[max(map(get_loaddata_type, values), key=list(numbers).index)]
        return [str(number(value)) for value in values]

    return read


def rows_found(values: list[str], value: str) -> int:
    try:
        selection, _ = selected(column("Metadata_Site", values), (("Metadata_Site", value),))
    except CsvError:
        return 0
    return selection.rows


@given(
    st.lists(
        st.sampled_from(["2", "02", "2.0", "2.50", "x2", "3000000000", "", " 2", "-1", "1e3"]),
        min_size=1,
    )
)
@example(["02", "2.5"])
def test_a_group_matches_as_in_cellprofiler(
    as_cellprofiler_reads: Callable[[list[str]], list[str]], values: list[str]
) -> None:
    read = as_cellprofiler_reads(values)
    for value in {*values, *read} - {""}:
        expected = read.count(value)
        assert rows_found(values, value) == expected


def test_a_padded_number_is_explained() -> None:
    with pytest.raises(CsvError, match="reads 04 as the number 4") as error:
        selected(column("Metadata_Site", ["03", "04"]), (("Metadata_Site", "04"),))
    assert error.value.code == "group_not_found"


def test_a_group_without_rows_lists_the_existing_values() -> None:
    with pytest.raises(CsvError, match="Metadata_Well has the values A01, B02"):
        selected(
            plate.load_data(plate.load_data_rows()),
            (("Metadata_Plate", "P1"), ("Metadata_Well", "C03")),
        )


def test_an_unknown_key_lists_the_existing_columns() -> None:
    with pytest.raises(CsvError, match=r"no column Metadata_Position.*Metadata_Well"):
        selected(plate.load_data(plate.load_data_rows()), (("Metadata_Position", "1"),))


def test_a_well_of_row_and_column_is_joined_as_loaddata_does() -> None:
    rows = [{"Metadata_Row": "A", "Metadata_Col": f"{number:02d}"} for number in (1, 2)]
    selection, _ = selected(plate.load_data(rows), (("Metadata_Well", "A02"),))
    assert selection.rows == 1


def test_only_metadata_columns_make_a_well() -> None:
    # LoadData reads these as the names of two images.
    rows = [{"FileName_Row": "A", "FileName_Col": "01", "Metadata_Site": "1"}]
    with pytest.raises(CsvError, match="no column Metadata_Well"):
        selected(plate.load_data(rows), (("Metadata_Well", "A01"),))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "csv_empty"),
        ("Metadata_Plate,Metadata_Well\n", "csv_empty"),
        ("Metadata_Plate,Metadata_Well\nP1,A01\nP1\n", "csv_malformed"),
    ],
)
def test_a_broken_csv(text: str, code: str) -> None:
    with pytest.raises(CsvError) as error:
        selected(text)
    assert error.value.code == code


def test_an_image_that_is_not_in_s3_is_missing_only_for_its_own_group() -> None:
    rows = plate.load_data_rows()
    rows[0]["PathName_DNA"] = "/mnt/microscope"
    with pytest.raises(CsvError, match=r"/mnt/microscope/A01_s1\.tif") as error:
        selected(plate.load_data(rows))
    assert error.value.code == "image_missing"
    selection, _ = selected(
        plate.load_data(rows), (("Metadata_Plate", "P1"), ("Metadata_Well", "B02"))
    )
    assert selection.rows == 2


def test_urls_object_columns_and_odd_names() -> None:
    row = {
        "Image_FileName_DNA": "sub/a.tif",
        "Image_PathName_DNA": "/home/ubuntu/bucket/x",
        "FileName_ER": "../b.tif",
        "PathName_ER": "/home/ubuntu/bucket/x/y",
        "URL_RNA": "s3://other/c d.tif",
        "FileName_RNA": "c d.tif",
        "URL_Web": "https://example.org/d.tif",
        "ObjectsFileName_Nuclei": "e.tif",
        "ObjectsPathName_Nuclei": "/home/ubuntu/bucket/x",
        "FileName_Rule": "rule.tif",
        **dict(A01),
    }
    selection, (local,) = selected(plate.load_data([row]))
    folder = "/slot/images/images.bucket/x"
    assert selection.images == {
        f"{folder}/sub/a.tif": S3Object("images.bucket", "x/sub/a.tif"),
        f"{folder}/b.tif": S3Object("images.bucket", "x/b.tif"),
        "/slot/images/other/c d.tif": S3Object("other", "c d.tif"),
        f"{folder}/e.tif": S3Object("images.bucket", "x/e.tif"),
    }
    assert (local["PathName_DNA"], local["FileName_DNA"]) == (folder, "sub/a.tif")
    assert f"{local['PathName_ER']}/{local['FileName_ER']}".endswith("/b.tif")
    assert local["URL_RNA"] == "file:/slot/images/other/c%20d.tif"
    assert local["URL_Web"] == row["URL_Web"]
    assert local["FileName_Rule"] == "rule.tif"


def test_a_list_of_files() -> None:
    local = io.StringIO()
    source = io.StringIO("/home/ubuntu/bucket/a.tif\n\nhttps://example.org/b.tif\ns3://c/d.tif\n")
    files = localize_list(source, local, PLACES)
    assert list(files.values()) == [S3Object("images.bucket", "a.tif"), S3Object("c", "d.tif")]
    assert local.getvalue().split("\n") == [
        "/slot/images/images.bucket/a.tif",
        "",
        "https://example.org/b.tif",
        "/slot/images/c/d.tif",
        "",
    ]
