"""Plate, well and site, read off metadata as the field writes it; where its log is read."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.job_file.plate_layout import FORMATS, row_name
from tasks.jobs.wells import Place, place_of, plate_format, position
from tasks.resources.console_links import log_link


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        ("Metadata_Plate=BR1,Metadata_Well=A01,Metadata_Site=3", Place("BR1", "A01", "3")),
        ("Metadata_Plate=BR1", Place("BR1", "", "")),
        ("Metadata_Well=AF48,Metadata_Plate=x", Place("x", "AF48", "")),
        ("Metadata_Plate=1,Metadata_WellRow=B,Metadata_WellColumn=7", Place("1", "B07", "")),
        (
            "Metadata_Barcode=77,Metadata_Row=2,Metadata_Col=1,Metadata_Field=4",
            Place("77", "B01", "4"),
        ),
        ("Plate=P,Well=r03c12,Metadata_FieldID=9", Place("P", "r03c12", "9")),
        ("Metadata_Assay_Plate_Barcode=P9,Metadata_Well=c3", Place("P9", "c3", "")),
        ("Metadata_Plate=P,Metadata_WellRow=B", Place("P", "", "")),
        ("Metadata_Cells=1", Place()),
        ("", Place()),
    ],
)
def test_places(metadata: str, place: Place) -> None:
    assert place_of(metadata) == place


@given(st.integers(0, 31), st.integers(0, 47))
def test_every_way_of_naming_a_well_is_the_same_position(row: int, column: int) -> None:
    letters, number = row_name(row), column + 1
    ways = [f"{letters}{number}", f"{letters}{number:02}", f"{letters.lower()}{number:02}"]
    ways += [f"{letters}-{number}", f"r{row + 1:02}c{number:02}", f"R{row + 1}C{number}"]
    assert {position(way) for way in ways} == {(row, column)}


@pytest.mark.parametrize(
    "well", ["", "A", "A0", "A49", "AG01", "AAA1", "01", "A01-2", "r33c1", "Ä1"]
)
def test_what_is_no_well(well: str) -> None:
    assert position(well) is None


@given(st.sets(st.tuples(st.integers(0, 31), st.integers(0, 47)), min_size=1))
def test_the_plate_is_the_smallest_that_has_all_wells(wells: set[tuple[int, int]]) -> None:
    def fits(size: int) -> bool:
        return all(row < FORMATS[size][0] and column < FORMATS[size][1] for row, column in wells)

    size = plate_format(wells)
    assert fits(size)
    assert not any(fits(smaller) for smaller in FORMATS if smaller < size)


def test_a_log_link_names_group_and_stream_as_the_console_reads_them() -> None:
    link = log_link("eu-west-1", "lab/Analysis", "P1/A01 [x]$+µ-1")
    page, _, names = link.partition("#")
    assert page == "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1"
    _, _, group, _, stream = names.split("/")
    assert group == "lab$252FAnalysis"
    # The console undoes it in this order.
    assert unquote(unquote(stream.replace("$", "%"))) == "P1/A01 [x]$+µ-1"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "us-east-1.console.aws.amazon.com"),
        ("cn-north-1", "console.amazonaws.cn"),
        ("us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_each_partition_has_its_console(region: str, host: str) -> None:
    assert log_link(region, "g", "s").startswith(f"https://{host}/")


def test_without_a_stream_there_is_no_link() -> None:
    assert log_link("us-east-1", "g", "") == ""
