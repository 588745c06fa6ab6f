"""Groups made from LoadData CSVs: values as CellProfiler compares them, filters, memory."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import InputError
from blocks.job_file.job_set import FromCsv
from tasks.jobs.csv_groups import groups_of
from tasks.jobs.load_data_csv import LoadData

EXAMPLES = json.loads(
    (Path(__file__).parents[2] / "support" / "csv_groups.json").read_text(encoding="utf-8")
)
MEASURE = Path(__file__).parents[2] / "support" / "group_memory.py"
PLATE_WELL_SITE = ("Metadata_Plate", "Metadata_Well", "Metadata_Site")


def load_data(folder: Path, text: str) -> LoadData:
    path = folder / "load_data.csv"
    path.write_bytes(text.encode())
    return LoadData.open("s3://b/load_data.csv", path)


def plate(folder: Path, wells: int = 3, sites: int = 2, plates: int = 1) -> LoadData:
    """Plates P1, P2 … with wells A01, A02 … and sites 001, 002 …"""
    path = folder / "plate.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["FileName_DNA", "PathName_DNA", *PLATE_WELL_SITE, "Metadata_Dose"])
        for number in range(1, plates + 1):
            for well in range(1, wells + 1):
                for site in range(1, sites + 1):
                    where = [f"P{number}", f"A{well:02}", f"{site:03}"]
                    writer.writerow(["a.tif", "/home/ubuntu/bucket/x", *where, f"{well % 2}.5"])
    return LoadData.open("s3://b/plate.csv", path)


def found(data: LoadData, **chosen: Any) -> list[tuple[str, ...]]:
    by = chosen.pop("by", PLATE_WELL_SITE)
    return [tuple(v for _, v in pairs) for pairs, _ in groups_of(data, FromCsv(by, **chosen))]


def problems(data: LoadData, **chosen: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        found(data, **chosen)
    assert all(problem.where == data.key for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e["about"])
def test_groups_that_the_worker_finds(example: dict[str, Any], tmp_path: Path) -> None:
    """The worker's side of the same examples is tests/worker/load_data/test_csv_groups.py."""
    data = load_data(tmp_path, example["csv"])
    made = [
        [*(value for _, value in pairs), rows]
        for pairs, rows in groups_of(data, FromCsv(tuple(example["by"])))
    ]
    assert made == example["groups"]


def test_filters(tmp_path: Path) -> None:
    data = plate(tmp_path)
    assert found(data, include=(("Metadata_Well", ("A02",)),)) == [
        ("P1", "A02", "1"),
        ("P1", "A02", "2"),
    ]
    # A filter's value means what it does to CellProfiler: 1, 001 and 01 are one site.
    for site in ("1", "001", "01"):
        chosen = found(data, include=(("Metadata_Site", (site,)),))
        assert chosen == [("P1", f"A0{well}", "1") for well in (1, 2, 3)]
    assert found(data, exclude=(("Metadata_Well", ("A01", "A02")),), first=1) == [
        ("P1", "A03", "1")
    ]
    # What is not there may be left out all the same.
    assert len(found(data, exclude=(("Metadata_Well", ("H12",)),))) == 6
    # A column that is in no group may choose the rows.
    assert found(data, by=("Metadata_Well",), include=(("Metadata_Dose", ("0.50",)),)) == [("A02",)]


def test_types_are_those_of_all_rows_not_of_the_chosen(tmp_path: Path) -> None:
    text = "Metadata_Plate,Metadata_Site\nP1,001\nP1,002\nP2,x\n"
    data = load_data(tmp_path, text)
    by = ("Metadata_Plate", "Metadata_Site")
    assert found(data, by=by, include=(("Metadata_Plate", ("P1",)),)) == [
        ("P1", "001"),
        ("P1", "002"),
    ]


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"by": ("Metadata_plate",)}, ["'Metadata_plate'", "'Metadata_Plate'"]),
        ({"include": (("Metadata_Well", ("A1",)),)}, ["Metadata_Well", "'A1'", "nearest", "'A01'"]),
        ({"include": (("Metadata_Plate", ("p1",)),)}, ["Metadata_Plate", "'p1'", "'P1'"]),
        ({"include": (("Metadata_Site", ("x",)),)}, ["Metadata_Site", "'x'", "'1', '2'"]),
        ({"exclude": (("Metadata_Well", ("a1", "B01")),)}, ["exclude", "'a1'", "'A01'"]),
        (
            {"include": (("Metadata_Well", ("A01",)), ("Metadata_Dose", ("0.5",)))},
            ["all filters"],
        ),
    ],
)
def test_filters_and_columns_that_match_nothing(
    chosen: dict[str, Any], told: list[str], tmp_path: Path
) -> None:
    [text] = problems(plate(tmp_path), **chosen)
    assert all(part in text for part in told), text


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    include = (("Metadata_Well", ("A1", "A01", "A2")), ("Metadata_Plate", ("P9",)))
    assert len(problems(plate(tmp_path), include=include)) == 3
    assert len(problems(plate(tmp_path), by=("Plate", "Well"))) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("Metadata_Well\n", "no rows"),
        ("Metadata_Well,Metadata_Site\nA01,1\nA02\n", "line 3"),
        ("Metadata_Well\nA01\n\n", ""),
        ("Metadata_Well,x\nA/1,1\n,1\n", "line 2"),
    ],
)
def test_csvs_that_no_groups_can_be_made_of(text: str, told: str, tmp_path: Path) -> None:
    if not told:
        assert found(load_data(tmp_path, text), by=("Metadata_Well",)) == [("A01",)]
        return
    with pytest.raises(InputError) as caught:
        found(load_data(tmp_path, text), by=("Metadata_Well",))
    assert told in str(caught.value)


def test_lines_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"Metadata_Well\nA01\n\xff\xfe\n")
    with pytest.raises(InputError, match="no line of a CSV"):
        found(LoadData.open("s3://b/x.csv", path), by=("Metadata_Well",))


def test_values_that_no_group_can_have_are_told_with_their_lines(tmp_path: Path) -> None:
    data = load_data(tmp_path, "Metadata_Well,Metadata_Site\nA01,1\nA/2,1\n,1\n")
    first, second = problems(data, by=("Metadata_Well",))
    assert "line 3" in first
    assert "'A/2'" in first
    assert "line 4" in second


def test_kinds_of_columns(tmp_path: Path) -> None:
    data = plate(tmp_path)
    kinds = data.kinds(["Metadata_Site", "Metadata_Dose", "Metadata_Well"])
    assert kinds == {"Metadata_Site": int, "Metadata_Dose": float, "Metadata_Well": str}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "01", "2", "2.0", "x", "1e0", "-1", " 1"]),
            st.sampled_from(["A01", "A1", "a01"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_row_is_in_one_group(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    lines = "\n".join(f"{site},{well}" for site, well in rows)
    folder = tmp_path_factory.mktemp("csv")
    data = load_data(folder, f"Metadata_Site,Metadata_Well\n{lines}\n")
    try:
        groups = list(groups_of(data, FromCsv(("Metadata_Site", "Metadata_Well"))))
    except InputError:
        assert any(site == " 1" for site, _ in rows)  # as text, no message could carry it
        return
    assert sum(count for _, count in groups) == len(rows)
    assert len({pairs for pairs, _ in groups}) == len(groups)


def test_memory_does_not_grow_with_the_csv(tmp_path: Path) -> None:
    paths = []
    for plates in (1, 1, 30):  # the first: what is loaded at first use
        folder = tmp_path / str(len(paths))
        folder.mkdir()
        plate(folder, wells=96, sites=9, plates=plates)
        paths.append(str(folder / "plate.csv"))
    done = subprocess.run(
        [sys.executable, str(MEASURE), *paths],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    _, (groups, small), (more, large) = (
        map(int, line.split()) for line in done.stdout.splitlines()
    )
    assert (groups, more) == (96 * 9, 30 * 96 * 9)
    assert large < small + 200_000
