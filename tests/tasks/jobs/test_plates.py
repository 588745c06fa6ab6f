"""Which plates a batch takes, and where their outputs are looked for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from blocks.fields import AppName
from blocks.job_file.model import JobFile, validated
from blocks.resource_names import LONGEST_APP, app_of
from tasks.jobs.plates import (
    names_in_outputs,
    outputs_of,
    plates_in,
    plates_named,
    settings_of,
    waiting,
)

STEP = {"step": "analysis", "identifier": "lab", "batch": "b1"}
plate_names = st.text("ABCabc0123_-. ", min_size=1, max_size=80).filter(lambda s: s == s.strip())


def job(**keys: Any) -> JobFile:
    own = {"pipeline": "p/a.cppipe", "data_file": "csv/{plate}/l.csv", "output": "out"}
    return validated(own | keys, "job.yaml")


@given(st.lists(plate_names), st.sets(plate_names))
def test_a_batch_is_what_has_data_and_no_results_each_once(data: list[str], results: set[str]):
    chosen = waiting(data, results)
    assert set(chosen) == set(data) - results
    assert len(set(chosen)) == len(chosen)
    assert list(chosen) == sorted(chosen, key=data.index)


def test_plates_are_read_off_the_keys_of_their_data_files() -> None:
    keys = ["csv/P1/l.csv", "csv/P2/l.csv", "csv/P2/other.csv", "csv/l.csv", "csv/a/b/l.csv"]
    assert plates_in(keys, "csv/{plate}/l.csv") == ["P1", "P2"]
    assert plates_in(["x/P1_P1.csv", "x/P1_P2.csv"], "x/{plate}_{plate}.csv") == ["P1"]
    assert plates_in(["c.sv/P1.csv", "cXsv/P1.csv"], "c.sv/{plate}.csv") == ["P1"]


@pytest.mark.parametrize(
    ("keys", "prefix"),
    [
        ({"groups": {"by": ["Metadata_Plate", "Metadata_Well"]}}, "out/P1-"),
        ({"groups": {"by": ["Metadata_Plate"]}}, "out/P1/"),
        ({"groups": {"by": ["Metadata_Well", "Metadata_Plate"]}}, "out/"),
        (
            {
                "groups": {"by": ["Metadata_Plate", "Metadata_Well"]},
                "output_structure": "Metadata_Plate/x/Metadata_Well",
            },
            "out/P1/x/",
        ),
        ({"groups": {"by": ["Metadata_Well"]}, "output": "out/{plate}/"}, "out/P1/"),
        (STEP | {"pipeline": "", "data_file": "", "output": ""}, None),
    ],
)
def test_the_outputs_of_a_plate_have_one_beginning(keys: dict[str, Any], prefix: str | None):
    (jobs,) = job(**keys).sets(("P1",))
    own = prefix or "projects/lab/workspace/analysis/b1/P1/analysis/P1-"
    assert outputs_of(jobs, "P1") == own


def test_a_plate_that_is_a_number_is_looked_for_as_cellprofiler_calls_it() -> None:
    (jobs,) = job(groups={"by": ["Metadata_Plate"]}).sets(("002",))
    assert names_in_outputs(jobs, "002") == ("002", "2")
    (jobs,) = job(groups={"format": 96}).sets(("002",))
    assert names_in_outputs(jobs, "002") == ("002",)


def test_plates_that_a_job_file_names() -> None:
    wells = (("Q", "A01"), ("P", "A01"), ("Q", "A02"))
    groups = [{"Metadata": f"Metadata_Plate={plate},Metadata_Well={well}"} for plate, well in wells]
    assert plates_named(job(groups=groups)) == ("Q", "P")
    by = {"by": ["Metadata_Plate"]}
    assert plates_named(job(groups=by, plates=["P1"])) == ("P1",)
    assert plates_named(job(groups=by | {"plates": ["P2"]})) == ("P2",)
    assert plates_named(job(groups=by)) == ()


@given(st.lists(plate_names, unique=True), st.sampled_from(["Lab", "2024_Batch1", "x" * 64]))
def test_the_app_of_each_plate_is_a_name_of_its_own(plates: list[str], app: str) -> None:
    names = [app_of(app, plate) for plate in plates]
    assert len(set(names)) == len(names)
    assert all(len(TypeAdapter(AppName).validate_python(name)) <= LONGEST_APP for name in names)


def test_a_plain_plate_reads_as_one_expects() -> None:
    assert settings_of("Lab", "P1") == {"app_name": "Lab_P1", "sqs_queue_name": None}
