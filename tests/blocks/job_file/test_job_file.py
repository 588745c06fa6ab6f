"""Job files in all forms: their groups, and the errors for their mistakes."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_forms import FORMS

from blocks import JobFile
from blocks.errors import JobFileError, Refusal
from blocks.job_file.job_set import FromCsv
from blocks.job_file.model import parse_job_file
from blocks.job_file.plate_layout import Layout, expanded, row_name, row_number

BASE: dict[str, Any] = {"pipeline": "p.cppipe", "data_file": "l.csv", "output": "out"}
PRINTED = (Path(__file__).parents[2] / "support" / "print_groups.json").read_text()
"""CellProfiler's output for a batch file; tests/worker/inputs/test_batch_file.py compares it."""


def parse(text: str = "", **keys: Any) -> JobFile:
    return parse_job_file(text or json.dumps({**BASE, **keys}), "j.yaml" if text else "j.json")


def problems(chosen: tuple[str, ...] = (), **keys: Any) -> list[tuple[str, str]]:
    with pytest.raises(JobFileError) as caught:
        parse(**keys).sets(chosen, "j.json")
    assert all(problem.where == "j.json" for problem in caught.value.problems)
    return [(problem.key, str(problem)) for problem in caught.value.problems]


def values(job_file: JobFile, plates: tuple[str, ...] = ()) -> list[list[str]]:
    """The groups of all sets, each as its joined values."""
    return [
        ["-".join(value for _, value in pairs) for pairs in jobs.groups]
        for jobs in job_file.sets(plates)
    ]


# From a layout


@pytest.mark.parametrize(
    ("size", "wells", "last"), [(96, 96, "H12"), (384, 384, "P24"), (1536, 1536, "AF48")]
)
def test_plate_formats(size: int, wells: int, last: str) -> None:
    (groups,) = values(parse(groups={"format": size}))
    assert len(groups) == wells
    assert (groups[0], groups[-1]) == ("A01", last)


def test_rows_beyond_z() -> None:
    assert expanded("Y-AB") == ["Y", "Z", "AA", "AB"]
    (groups,) = values(parse(groups={"rows": "Z-AA", "columns": "9-10"}))
    assert groups == ["Z09", "Z10", "AA09", "AA10"]


@given(st.integers(0, 20_000))
def test_names_of_rows(number: int) -> None:
    assert row_number(row_name(number)) == number


def test_plates_wells_and_sites() -> None:
    groups = {"plates": ["P1", "P2"], "wells": ["B02", "A01"], "sites": "1,3-4"}
    (joined,) = values(parse(groups=groups))
    assert joined == [
        f"{plate}-{well}-{site}"
        for plate, well, site in product(["P1", "P2"], ["B02", "A01"], ["1", "3", "4"])
    ]
    assert values(parse(groups={"wells": ["A01"], "sites": "01-03"})) == [
        ["A01-01", "A01-02", "A01-03"]
    ]
    assert values(parse(groups={"plates": [2024]})) == [["2024"]]


def test_wells_without_padding() -> None:
    (groups,) = values(parse(groups={"format": 96, "pad": False}))
    assert groups[8:10] == ["A9", "A10"]


def test_excluded_wells_and_only_the_first() -> None:
    groups = {"format": 96, "sites": "1-2", "exclude": {"Metadata_Well": ["A01", "H12"]}}
    (joined,) = values(parse(groups=groups))
    assert len(joined) == 94 * 2
    (first,) = values(parse(groups={**groups, "first": 3}))
    assert first == joined[:3]


def test_yaml_and_numbers_as_they_are_written() -> None:
    text = """
pipeline: p.cppipe
data_file: l.csv
output: out
groups:
  format: 96
  plates: [0012, NO]
  columns: 1-2
"""
    with pytest.raises(JobFileError) as caught:
        parse(text)
    assert [problem.key for problem in caught.value.problems] == ["groups.columns"]
    (groups,) = values(parse(text.replace("format: 96", "rows: A")))
    assert groups == ["0012-A01", "0012-A02", "NO-A01", "NO-A02"]


axis = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True).map(tuple)


@given(st.lists(axis, min_size=1, max_size=3), st.none() | st.integers(1, 100))
def test_a_layout_is_the_product_of_its_axes(
    axes: list[tuple[str, ...]], first: int | None
) -> None:
    layout = Layout(tuple((str(at), axis_values) for at, axis_values in enumerate(axes)), first)
    expected = list(
        product(*([(str(at), v) for v in axis_values] for at, axis_values in enumerate(axes)))
    )[:first]
    assert list(layout) == expected
    assert [layout[at] for at in range(len(layout))] == expected
    assert layout[-1] == expected[-1]
    assert layout[1:3] == expected[1:3]


@pytest.mark.parametrize(
    ("groups", "key", "expected"),
    [
        ({"wells": []}, "groups.wells", "empty"),
        ({}, "groups", "by"),
        ({"pad": True}, "groups", "by"),
        ({"plates": ["P1", "P1"]}, "groups.plates", "'P1' twice"),
        ({"wells": ["A01", "A01"]}, "groups.wells", "twice"),
        ({"sites": "1-3,2"}, "groups.sites", "twice"),
        ({"sites": "9-1"}, "groups.sites", "backwards"),
        ({"sites": 9}, "groups.sites", "1-9"),
        ({"rows": "A-3"}, "groups.rows", "letter"),
        ({"rows": "1-3"}, "groups.rows", "A to Z"),
        ({"columns": "A-C"}, "groups.columns", "1, 2, 3"),
        ({"columns": "0-3"}, "groups.columns", "'0'"),
        ({"format": 385}, "groups.format", "96, 384, 1536"),
        ({"format": 96, "wells": ["A01"]}, "groups.format", "wells"),
        ({"wells": ["A/1"]}, "groups.wells[1]", "'/'"),
        ({"wells": ["A01-H12"]}, "groups.wells[1]", "rows: A-H"),
        ({"format": 96, "exclude": {"Metadata_Row": ["A"]}}, "groups.exclude", "Metadata_Well"),
        ({"wells": ["A01"], "exclude": {"Metadata_Well": ["A01"]}}, "groups.exclude", "A01"),
        ({"format": 96, "rwos": "A"}, "groups.rwos", "rows"),
        ({"format": 96, "first": 0}, "groups.first", "1"),
        ({"sites": "1-99999999"}, "groups.sites", "at most"),
    ],
)
def test_mistakes_in_a_layout(groups: dict[str, Any], key: str, expected: str) -> None:
    [(place, text)] = problems(groups=groups)
    assert place == key
    assert expected in text


# From the CSV


def test_groups_from_the_csv() -> None:
    groups = {
        "by": ["Metadata_Plate", "Metadata_Well"],
        "plates": ["P1"],
        "sites": "1-2",
        "include": {"Metadata_Dose": [0.5]},
        "exclude": {"Metadata_Well": ["A01"]},
        "first": 10,
    }
    (jobs,) = parse(groups=groups).sets()
    assert jobs.groups == FromCsv(
        ("Metadata_Plate", "Metadata_Well"),
        (
            ("Metadata_Dose", ("0.5",)),
            ("Metadata_Plate", ("P1",)),
            ("Metadata_Site", ("1", "2")),
        ),
        (("Metadata_Well", ("A01",)),),
        10,
    )
    assert jobs.keys == ("Metadata_Plate", "Metadata_Well")


def test_one_csv_a_plate() -> None:
    by = {"by": ["Metadata_Plate", "Metadata_Well"]}
    job_file = parse(data_file="csv/{plate}.csv", output="out/{plate}", groups=by, plates=["P1"])
    (jobs,) = job_file.sets()
    assert (jobs.data_file, jobs.output, jobs.plate) == ("csv/P1.csv", "out/P1", "P1")
    assert jobs.groups == FromCsv(tuple(by["by"]), (("Metadata_Plate", ("P1",)),))
    assert [jobs.data_file for jobs in job_file.sets(["P2", "P3"])] == ["csv/P2.csv", "csv/P3.csv"]
    # A plate's own CSV need not have a column for the plate.
    own = {"data_file": "csv/{plate}.csv", "output": "out/{plate}", "plates": "P1"}
    wells = parse(**own, groups={"by": "Metadata_Well"})
    assert wells.sets()[0].groups == FromCsv(("Metadata_Well",))


def test_plates_of_one_csv_for_all() -> None:
    job_file = parse(groups={"by": ["Metadata_Plate"]})
    assert job_file.sets()[0].groups == FromCsv(("Metadata_Plate",))
    (jobs,) = job_file.sets(["P1", "P2"])
    assert jobs.groups == FromCsv(("Metadata_Plate",), (("Metadata_Plate", ("P1", "P2")),))


def test_plates_given_widen_no_filter() -> None:
    groups = {"by": ["Metadata_Well"], "include": {"Metadata_Plate": ["P1", "P2"]}}
    (jobs,) = parse(groups=groups).sets(["P2", "P3"])
    assert jobs.groups == FromCsv(("Metadata_Well",), (("Metadata_Plate", ("P2",)),))


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({"groups": {"by": []}}, "groups.by", "empty"),
        ({"groups": {"by": ["Metadata_Well"] * 2}}, "groups.by", "twice"),
        ({"groups": {"by": ["W"], "format": 96}}, "groups.format", "by"),
        ({"groups": {"by": ["W"]}, "data_file": "x.txt"}, "groups.by", "x.txt"),
        (
            {"groups": {"by": ["Plate"]}, "output_structure": "Metadata_Well"},
            "output_structure",
            "Metadata_Well, which",
        ),
        ({"groups": {"by": ["W"]}, "output_structure": "../W"}, "output_structure", "'..'"),
        ({"groups": {"by": ["Metadata_Plate"]}, "data_file": "{plate}.csv"}, "plates", "{plate}"),
        ({"groups": {"by": ["W"]}, "data_file": "{plates}.csv"}, "data_file", "Write {plate}"),
        ({"groups": {"by": ["W"]}, "data_file": "{plate}.csv", "plates": "P"}, "output", "{plate}"),
        ({"groups": {"bye": ["W"]}}, "groups.bye", "by"),
        ({"groups": {"by": ["W"]}, "output": ""}, "output", "empty"),
    ],
)
def test_mistakes_in_groups_from_the_csv(keys: dict[str, Any], key: str, expected: str) -> None:
    [(place, text)] = problems(**keys)
    assert place == key
    assert expected in text


def test_all_mistakes_at_once() -> None:
    mistakes = problems(
        pipeline="s3://x/p",
        groups={"by": ["A", "A"], "rows": "A-B", "plates": ["a/b"]},
        plates=["P1", "P1"],
        data_file="x.xls",
    )
    assert {key for key, _ in mistakes} == {
        "pipeline",
        "data_file",
        "groups.by",
        "groups.rows",
        "groups.plates[1]",
        "plates",
    }


# Listed


def test_print_groups_as_a_list() -> None:
    job_file = parse(groups=json.loads(PRINTED), output_structure="Metadata_Well")
    assert values(job_file) == [["A01", "B02"]]


@pytest.mark.parametrize(
    "text",
    [
        PRINTED,
        f"[INFO] reading [the file]\n{PRINTED}\nTraceback: [no pipeline]\n",
        '{"Metadata": "Metadata_Well=A01"},\n{"Metadata": "Metadata_Well=B02"},\n',
        '[{"Metadata_Well": "A01"}, {"Metadata_Well": "B02"}]',
    ],
)
def test_groups_in_a_file(text: str) -> None:
    keys = {**BASE, "output_structure": "Metadata_Well", "groups": "made/groups.json"}
    names = []

    def read(name: str) -> str:
        names.append(name)
        return text

    job_file = parse_job_file(json.dumps(keys), "j.json", read)
    assert values(job_file) == [["A01", "B02"]]
    assert names == ["made/groups.json"]


def test_numbers_in_a_file_stay_as_they_are() -> None:
    keys = {**BASE, "output_structure": "Metadata_Site", "groups": "g.json"}
    text = '[[{"Metadata_Site": 7}, [1]]]'
    assert values(parse_job_file(json.dumps(keys), "j.json", lambda _: text)) == [["7"]]


def test_a_file_without_groups() -> None:
    keys = {**BASE, "groups": "g.json"}
    with pytest.raises(JobFileError, match=r"g\.json.*--print-groups"):
        parse_job_file(json.dumps(keys), "j.json", lambda _: "Traceback (most recent call last)")
    [(key, text)] = problems(groups="g.json")
    assert key == "groups"
    assert "g.json" in text


def test_listed_groups_by_plate() -> None:
    groups = [{"Metadata": f"Metadata_Plate={p},Metadata_Well={w}"} for p in "ab" for w in "12"]
    job_file = parse(groups=groups)
    assert values(job_file) == [["a-1", "a-2", "b-1", "b-2"]]
    assert values(job_file, ("b",)) == [["b-1", "b-2"]]
    each = parse(groups=groups, data_file="{plate}.csv")
    assert [jobs.data_file for jobs in each.sets()] == ["a.csv", "b.csv"]
    assert values(each, ("b",)) == [["b-1", "b-2"]]
    [(key, text)] = problems(("c",), groups=groups)
    assert key == "plates"
    assert "'c'" in text
    [(key, _)] = problems(groups=[{"Metadata": "Metadata_Well=A01"}], data_file="{plate}.csv")
    assert key == "groups[1]"


@pytest.mark.parametrize("plates", [("P1", "P1"), ("a/b",), ("",)])
def test_plates_given_are_checked(plates: tuple[str, ...]) -> None:
    [(key, _)] = problems(plates, groups={"by": ["Metadata_Plate"]})
    assert key == "plates"


# One model


@pytest.mark.parametrize("form", FORMS)
def test_the_text_of_a_job_file_says_the_same(form: dict[str, Any]) -> None:
    job_file = JobFile(**form)
    again = parse_job_file(job_file.text, "j.json")
    assert again.sets() == job_file.sets() == parse_job_file(json.dumps(form), "x").sets()
    assert again.text == job_file.text


def test_expanded_refuses_in_the_words_of_people() -> None:
    with pytest.raises(Refusal, match="backwards"):
        expanded("5-3")
