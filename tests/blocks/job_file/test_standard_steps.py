"""DCP's standard steps: every expected path is written out, none is computed."""

from typing import Any

import pytest

from blocks import JobFile
from blocks.errors import JobFileError
from blocks.job_file.job_set import JobSet
from blocks.job_file.model import parse_job_file

RULES = "projects/I/workspace/qc/B/rules"
CPG_RULES = "I/S/workspace/qc/B/rules"
ANALYSIS = "Metadata_Plate/analysis/Metadata_Plate-Metadata_Well-Metadata_Site"

# step, pipeline, data file, output, output structure
DEFAULT = [
    (
        "zproj",
        "projects/I/workspace/pipelines/B/Zproj.cppipe",
        "projects/I/workspace/load_data_csv/B/P1/load_data_unprojected.csv",
        "projects/I/B/images_projected",
        "Metadata_Plate",
    ),
    (
        "illum",
        "projects/I/workspace/pipelines/B/illum.cppipe",
        "projects/I/workspace/load_data_csv/B/P1/load_data.csv",
        "projects/I/B/illum",
        "",
    ),
    (
        "qc",
        "projects/I/workspace/pipelines/B/qc.cppipe",
        "projects/I/workspace/load_data_csv/B/P1/load_data.csv",
        "projects/I/workspace/qc/B/results",
        "",
    ),
    (
        "qc_persite",
        "projects/I/workspace/pipelines/B/qc.cppipe",
        "projects/I/workspace/load_data_csv/B/P1/load_data.csv",
        "projects/I/workspace/qc/B/results",
        "",
    ),
    (
        "assaydev",
        "projects/I/workspace/pipelines/B/assaydev.cppipe",
        "projects/I/workspace/load_data_csv/B/P1/load_data_with_illum.csv",
        "projects/I/workspace/assaydev/B",
        "",
    ),
    (
        "assaydev_persite",
        "projects/I/workspace/pipelines/B/assaydev.cppipe",
        "projects/I/workspace/load_data_csv/B/P1/load_data_with_illum.csv",
        "projects/I/workspace/assaydev/B",
        "",
    ),
    (
        "analysis",
        "projects/I/workspace/pipelines/B/analysis.cppipe",
        "projects/I/workspace/load_data_csv/B/P1/load_data_with_illum.csv",
        "projects/I/workspace/analysis/B",
        ANALYSIS,
    ),
]
CPG = [
    (
        "zproj",
        "I/S/workspace/pipelines/B/Zproj.cppipe",
        "I/S/workspace/load_data_csv/B/P1/load_data_unprojected.csv",
        "I/S/images/B/images_projected",
        "Metadata_Plate",
    ),
    (
        "illum",
        "I/S/workspace/pipelines/B/illum.cppipe",
        "I/S/workspace/load_data_csv/B/P1/load_data.csv",
        "I/S/images/B/illum",
        "",
    ),
    (
        "qc",
        "I/S/workspace/pipelines/B/qc.cppipe",
        "I/S/workspace/load_data_csv/B/P1/load_data.csv",
        "I/S/workspace/qc/B/results",
        "",
    ),
    (
        "qc_persite",
        "I/S/workspace/pipelines/B/qc.cppipe",
        "I/S/workspace/load_data_csv/B/P1/load_data.csv",
        "I/S/workspace/qc/B/results",
        "",
    ),
    (
        "assaydev",
        "I/S/workspace/pipelines/B/assaydev.cppipe",
        "I/S/workspace/load_data_csv/B/P1/load_data_with_illum.csv",
        "I/S/workspace/assaydev/B",
        "",
    ),
    (
        "assaydev_persite",
        "I/S/workspace/pipelines/B/assaydev.cppipe",
        "I/S/workspace/load_data_csv/B/P1/load_data_with_illum.csv",
        "I/S/workspace/assaydev/B",
        "",
    ),
    (
        "analysis",
        "I/S/workspace/pipelines/B/analysis.cppipe",
        "I/S/workspace/load_data_csv/B/P1/load_data_with_illum.csv",
        "I/S/workspace/analysis/B",
        ANALYSIS,
    ),
]
BATCH_FILES = [
    ("zproj", "projects/I/workspace/batchfiles/B/Batch_data_zproj.h5"),
    ("illum", "projects/I/workspace/batchfiles/B/Batch_data_illum.h5"),
    ("qc", "projects/I/workspace/batchfiles/B/Batch_data_qc.h5"),
    ("qc_persite", "projects/I/workspace/batchfiles/B/Batch_data_qc.h5"),
    ("assaydev", "projects/I/workspace/batchfiles/B/Batch_data_assaydev.h5"),
    ("assaydev_persite", "projects/I/workspace/batchfiles/B/Batch_data_assaydev.h5"),
    ("analysis", "projects/I/workspace/batchfiles/B/Batch_data_analysis.h5"),
]


def step(name: str, **other: Any) -> JobFile:
    return JobFile(**{"step": name, "identifier": "I", "batch": "B", "plates": ["P1"], **other})


def paths(jobs: JobSet) -> tuple[str, ...]:
    return jobs.pipeline, jobs.data_file, jobs.output, jobs.output_structure


@pytest.mark.parametrize("expected", DEFAULT, ids=lambda e: e[0])
def test_paths_of_the_default_style(expected: tuple[str, ...]) -> None:
    (jobs,) = step(expected[0]).sets()
    assert paths(jobs) == expected[1:]
    assert jobs.input == RULES


@pytest.mark.parametrize("expected", CPG, ids=lambda e: e[0])
def test_paths_of_the_cell_painting_gallery(expected: tuple[str, ...]) -> None:
    (jobs,) = step(expected[0], path_style="cpg", source="S").sets()
    assert paths(jobs) == expected[1:]
    assert jobs.input == CPG_RULES


@pytest.mark.parametrize(("name", "key"), BATCH_FILES)
def test_batch_files(name: str, key: str) -> None:
    (jobs,) = step(name, use_batch=True, plates=["P1", "P2"]).sets()
    assert (jobs.pipeline, jobs.data_file) == (key, key)
    assert {dict(pairs)["Metadata_Plate"] for pairs in jobs.groups} == {"P1", "P2"}
    cpg = {"path_style": "cpg", "source": "S", "use_batch": True}
    (jobs,) = step(name, **cpg, batch_path="I/S/batchfiles").sets()
    assert jobs.pipeline == f"I/S/batchfiles/{key.rpartition('/')[2]}"
    with pytest.raises(ValueError, match="batch_path"):
        step(name, **cpg)


@pytest.mark.parametrize(
    ("name", "jobs", "first", "last", "suffix"),
    [
        ("zproj", 3456, ("P1", "A01", "1"), ("P1", "P24", "9"), "Zproj"),
        ("illum", 1, ("P1",), ("P1",), "Illum"),
        ("qc", 384, ("P1", "A01"), ("P1", "P24"), "QC"),
        ("qc_persite", 3456, ("P1", "A01", "1"), ("P1", "P24", "9"), "QC"),
        ("assaydev", 384, ("P1", "A01"), ("P1", "P24"), "AssayDev"),
        ("assaydev_persite", 3456, ("P1", "A01", "1"), ("P1", "P24", "9"), "AssayDev"),
        ("analysis", 3456, ("P1", "A01", "1"), ("P1", "P24", "9"), "Analysis"),
    ],
)
def test_groups_by_default(
    name: str, jobs: int, first: tuple[str, ...], last: tuple[str, ...], suffix: str
) -> None:
    job_file = step(name)
    assert job_file.app_suffix == suffix
    (jobset,) = job_file.sets()
    assert len(jobset.groups) == jobs
    keys = ("Metadata_Plate", "Metadata_Well", "Metadata_Site")[: len(first)]
    assert jobset.groups[0] == tuple(zip(keys, first, strict=True))
    assert jobset.groups[-1] == tuple(zip(keys, last, strict=True))


def test_a_set_for_each_plate() -> None:
    first, second = step("illum", plates=["P1", "P2"]).sets()
    assert (first.plate, second.plate) == ("P1", "P2")
    assert second.data_file == "projects/I/workspace/load_data_csv/B/P2/load_data.csv"
    assert list(second.groups) == [(("Metadata_Plate", "P2"),)]
    (third,) = step("illum", plates=["P1", "P2"]).sets(["P3"])
    assert third.data_file == "projects/I/workspace/load_data_csv/B/P3/load_data.csv"


@pytest.mark.parametrize(
    ("keys", "key", "value"),
    [
        ({"pipeline": "a.cppipe"}, "pipeline", "projects/I/workspace/pipelines/B/a.cppipe"),
        ({"pipeline": "my/a.cppipe"}, "pipeline", "my/a.cppipe"),
        ({"pipeline_path": "my/"}, "pipeline", "my/analysis.cppipe"),
        (
            {"csv_name": "x.csv"},
            "data_file",
            "projects/I/workspace/load_data_csv/B/P1/x.csv",
        ),
        ({"data_file_path": "my"}, "data_file", "my/P1/load_data_with_illum.csv"),
        ({"data_file": "my/{plate}.csv"}, "data_file", "my/P1.csv"),
        ({"data_file": "all.csv"}, "data_file", "all.csv"),
        ({"input": "rules"}, "input", "rules"),
        ({"output": "out/{plate}"}, "output", "out/P1"),
        ({"output_structure": "Metadata_Well"}, "output_structure", "Metadata_Well"),
        (
            {"use_batch": True, "batch_file": "x.h5"},
            "data_file",
            "projects/I/workspace/batchfiles/B/x.h5",
        ),
        ({"use_batch": True, "batch_file": "my/x.h5"}, "pipeline", "my/x.h5"),
        ({"use_batch": True, "batch_path": "my"}, "pipeline", "my/Batch_data_analysis.h5"),
        ({"data_file": "x.h5"}, "pipeline", "x.h5"),
    ],
)
def test_everything_may_be_given_otherwise(keys: dict[str, Any], key: str, value: str) -> None:
    (jobs,) = step("analysis", **keys).sets()
    assert getattr(jobs, key) == value
    (usual,) = step("analysis").sets()
    others = {"pipeline", "data_file", "input", "output", "output_structure"} - {key}
    if ".h5" not in value:
        assert all(getattr(jobs, other) == getattr(usual, other) for other in others)


def test_layouts_of_steps() -> None:
    (jobs,) = step("analysis", groups={"format": 96, "sites": "1-2", "pad": False}).sets()
    assert len(jobs.groups) == 96 * 2
    assert dict(jobs.groups[0])["Metadata_Well"] == "A1"
    (jobs,) = step("qc", groups={"rows": "B-C", "columns": [1, 2], "sites": [7]}).sets()
    assert [dict(pairs)["Metadata_Well"] for pairs in jobs.groups] == ["B01", "B02", "C01", "C02"]
    assert set(dict(jobs.groups[0])) == {"Metadata_Plate", "Metadata_Well"}
    (jobs,) = step("analysis", groups={"by": ["Metadata_Plate", "Metadata_Well"]}, **WELLS).sets()
    assert jobs.keys == ("Metadata_Plate", "Metadata_Well")


OF_WELL = {"step": "qc"}
WELLS = {"output_structure": "Metadata_Plate/Metadata_Well"}


def problems(**keys: Any) -> dict[str, str]:
    lines = [f"{key}: {value}" for key, value in keys.items()]
    with pytest.raises(JobFileError) as caught:
        parse_job_file("\n".join(lines), "j.yaml").sets()
    return {problem.key: str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({"step": "analyses"}, "step", "analysis"),
        ({"identifier": ""}, "identifier", "missing"),
        ({"batch": ""}, "batch", "missing"),
        ({"path_style": "cpg"}, "source", "cpg"),
        ({"path_style": "gallery"}, "path_style", "cpg"),
        ({"source": "broad"}, "source", "cpg"),
        ({"identifier": "../x"}, "identifier", "'..'"),
        ({"batch_file": "x.h5"}, "batch_file", "use_batch"),
        ({"use_batch": "true", "batch_file": "x.hdf5"}, "batch_file", ".h5"),
        ({"csv_name": "x.tsv"}, "csv_name", ".csv"),
        ({"use_batch": "true", "csv_name": "x.csv"}, "csv_name", "use_batch"),
        ({"use_batch": "true", "pipeline": "x.cppipe"}, "pipeline", "use_batch"),
        ({"data_file": "x.h5", "pipeline": "x.cppipe"}, "pipeline", "batch file"),
        ({"data_file": "x.csv", "csv_name": "y.csv"}, "csv_name", "data_file"),
        ({"pipeline": "a/x.cppipe", "pipeline_path": "b"}, "pipeline_path", "whole key"),
        ({"identifier": '"I "'}, "identifier", "'I'"),
        ({"groups": "{by: [Metadata_Well], wells: [A01]}", **OF_WELL}, "output", "{plate}"),
        ({"groups": "[{Metadata: Metadata_Plate=P1}]"}, "groups", "step"),
        ({"groups": "{rows: A-C, format: 96}"}, "groups.rows", "format"),
        ({"plates": "[P1, P2, P1]"}, "plates", "'P1' twice"),
        ({"plates": "[P/1]"}, "plates", "'/'"),
        ({"plates": "[]"}, "plates", "missing"),
        ({"groups": "{plates: [P1]}"}, "groups.plates", "plates"),
        ({"groups": "{by: [Metadata_Plate]}"}, "output_structure", "Metadata_Well"),
        ({"data_file": "x/{Plate}.csv"}, "data_file", "{plate}"),
    ],
)
def test_mistakes_name_their_key(keys: dict[str, str], key: str, expected: str) -> None:
    good = {"step": "analysis", "identifier": "I", "batch": "B", "plates": "[P1]"}
    mistakes = problems(**{**good, **keys})
    assert list(mistakes) == [key]
    assert expected in mistakes[key]


def test_keys_of_a_step_without_a_step() -> None:
    mistakes = problems(pipeline="p", data_file="x.csv", output="o", identifier="I", batch="B")
    assert set(mistakes) == {"groups", "identifier", "batch"}
    assert "step" in mistakes["batch"]
