"""Every way in which a job can fail, on the real CellProfiler: recorded, and nothing uploaded.

Failures inside CellProfiler are tested with the warm child, and with the command line if it would
run the job in part. test_engine.py shows that both report the same for every failure. Failures that
the worker finds before CellProfiler starts do not depend on this choice.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from waiting import wait_for

import plate
from cloud import Cloud, Container, job_message
from results import A01, counted, reasons, truth

pytestmark = pytest.mark.e2e

ROWS = plate.load_data_rows
PIPELINE = plate.pipeline()
BY_SITE = plate.pipeline(tags="Site")
WITHOUT_EXPORT = PIPELINE[: PIPELINE.index("ExportToSpreadsheet")]
# LoadData passes an image with this name to Bio-Formats, which does not know its content.
ALIEN = "alien.C01"
NOWHERE = "Output file location:Elsewhere...|/dev/null/folder"

Row = tuple[str, dict[str, Any]]


def with_image(name: str) -> str:
    """The CSV with a different file as the first image of well A01."""
    rows = ROWS()
    rows[0]["FileName_DNA"] = name
    return plate.load_data(rows)


def of_cellprofiler() -> dict[str, Row]:
    """Failures inside CellProfiler: case -> reason code, and the changes to the job."""
    return {
        "image unreadable": ("image_unreadable", {"data_file": with_image(ALIEN)}),
        "wrong grouping key": ("group_keys", {"Metadata": "Metadata_Plate=P1"}),
        "channel missing": ("channel_missing", {"pipeline": plate.pipeline(image="OrigRed")}),
        "pipeline empty": ("pipeline_unreadable", {"pipeline": ""}),
        "pipeline garbage": ("pipeline_unreadable", {"pipeline": "hello\nworld\n" * 10}),
        "truncated within a module": (
            "pipeline_broken",
            {"pipeline": PIPELINE[: PIPELINE.index("Data to export") + 5]},
        ),
        "unknown module": ("unknown_module", {"pipeline": plate.pipeline(unknown_module=True)}),
        "no outputs": (
            "no_outputs",
            {"pipeline": WITHOUT_EXPORT.replace("ModuleCount:4", "ModuleCount:3")},
        ),
    }


def before_cellprofiler() -> dict[str, Row]:
    """Failures that the worker finds before CellProfiler starts."""
    header = plate.load_data(ROWS()).splitlines(keepends=True)[0]
    return {
        "image missing": ("image_missing", {"data_file": with_image("gone.tif")}),
        "image without bytes": ("image_broken", {"data_file": with_image("zero.tif")}),
        "image truncated": ("image_broken", {"data_file": with_image("cut.tif")}),
        "no image": ("image_broken", {"data_file": with_image("text.tif")}),
        "group unknown": ("group_not_found", {"Metadata": "Metadata_Plate=P1,Metadata_Well=Z99"}),
        "group padded": (
            "group_not_found",
            {"Metadata": "Metadata_Site=002", "pipeline": BY_SITE},
        ),
        "group of no column": ("group_not_found", {"Metadata": "Metadata_Position=1"}),
        "CSV malformed": (
            "csv_malformed",
            {"data_file": plate.load_data(ROWS()).rsplit(",", 2)[0] + "\n"},
        ),
        "CSV header only": ("csv_empty", {"data_file": header}),
        "CSV empty": ("csv_empty", {"data_file": ""}),
        "truncated between modules": ("pipeline_broken", {"pipeline": WITHOUT_EXPORT}),
    }


def sent(cloud: Cloud, name: str, table: dict[str, Row]) -> dict[str, str]:
    """Upload the objects of the cases; returns a message for each, with the expected reason."""
    whole = plate.image(7)
    images = {"zero.tif": b"", "cut.tif": whole[: len(whole) // 2], "text.tif": b"<Error/>"}
    images[ALIEN] = b"of no format that Bio-Formats knows"
    cloud.put({f"{plate.IMAGES_KEY}/{file}": content for file, content in images.items()})
    expected = {}
    for case, (reason, changes) in table.items():
        job_id = uuid.uuid4().hex
        job = {"Metadata": A01, "output": f"{name}/out", "job_id": job_id, **changes}
        for key, suffix in (("pipeline", "cppipe"), ("data_file", "csv")):
            if key in changes:
                job[key] = f"{name}/{case}.{suffix}"
                cloud.put({job[key]: changes[key].encode()})
        expected[job_message(**job)] = reason
    return expected


def assert_each_fails_at_once(
    container: Container, name: str, table: dict[str, Row]
) -> list[dict[str, Any]]:
    """The records of the jobs."""
    cloud = container.cloud
    cloud.dead_letters()
    expected = sent(cloud, name, table)
    records = cloud.work_off(*expected)
    assert dict(zip(table, reasons(records))) == {
        case: f"failed {reason}" for case, (reason, _) in table.items()
    }
    # All fail on every machine: no attempt is wasted on a retry.
    assert {record["attempt"] for record in records} == {1}
    assert cloud.keys(f"{name}/out") == []
    letters = cloud.dead_letters()
    assert {letter["Body"] for letter in letters} == set(expected)
    for letter in letters:
        attributes = letter["MessageAttributes"]
        assert attributes["reason"]["StringValue"] == expected[letter["Body"]]
        job_id = json.loads(letter["Body"])["job_id"]
        assert attributes["job_id"]["StringValue"] == job_id
    return records


def test_what_cellprofiler_finds(standing: Container) -> None:
    cloud = standing.cloud
    assert_each_fails_at_once(standing, "table", of_cellprofiler())
    # After all these failures CellProfiler works like a new process.
    for slot in ("1", "2"):
        (record,) = cloud.work_off(job_message(output=f"after the table/{slot}"))
        assert counted(cloud, record["output"]) == truth("A01")


def test_what_the_command_line_would_run_in_part(cold: Container) -> None:
    table = of_cellprofiler()
    cases = ("image unreadable", "truncated within a module", "unknown module")
    assert_each_fails_at_once(cold, "in part", {case: table[case] for case in cases})


def test_failures_diagnosed_before_cellprofiler_starts(standing: Container) -> None:
    records = assert_each_fails_at_once(standing, "before", before_cellprofiler())
    assert {record["seconds"]["cellprofiler"] for record in records} == {0}


def test_what_is_not_in_the_bucket(standing: Container) -> None:
    cloud = standing.cloud
    bodies = [job_message(pipeline="gone/it.cppipe"), job_message(data_file="gone/it.csv")]
    records = cloud.work_off(*bodies)
    assert reasons(records) == ["failed pipeline_missing", "failed data_file_missing"]
    assert "gone/it.cppipe" in records[0]["reason_text"]
    assert "gone/it.csv" in records[1]["reason_text"]


@pytest.mark.parametrize("metadata", ["Metadata_Plate", "Metadata_Plate=P1,", "Metadata_Site=../x"])
def test_a_malformed_group_is_refused(standing: Container, metadata: str) -> None:
    cloud = standing.cloud
    cloud.dead_letters()
    body = job_message(Metadata=metadata, job_id=uuid.uuid4().hex)
    cloud.send(body)
    (letter,) = wait_for(cloud.dead_letters, "the message to be refused")
    assert letter["Body"] == body
    job_id = json.loads(body)["job_id"]
    (record,) = [record for record in cloud.records("failed") if record["job_id"] == job_id]
    assert record["reason"] == letter["MessageAttributes"]["reason"]["StringValue"] == "bad_message"
    assert metadata.partition("=")[0] in record["reason_text"]


def test_an_output_folder_that_cannot_be_made_may_be_the_machine(standing: Container) -> None:
    cloud = standing.cloud
    text = PIPELINE.replace("Output file location:Default Output Folder|", NOWHERE)
    assert text != PIPELINE
    cloud.put({"nowhere.cppipe": text.encode()})
    (record,) = cloud.work_off(job_message(pipeline="nowhere.cppipe", output="nowhere"))
    assert (record["reason"], record["attempt"]) == ("output_folder", 3)
    assert cloud.keys("nowhere/") == []


def test_a_missing_group_is_explained(standing: Container) -> None:
    cloud = standing.cloud
    rows = [{**row, "Metadata_Site": site} for row, site in zip(ROWS(), ("3", "4", "5", "6"))]
    cloud.put({"sites.csv": plate.load_data(rows).encode(), "site.cppipe": BY_SITE.encode()})
    by_site = {"pipeline": "site.cppipe", "data_file": "sites.csv", "output": "explained"}
    unknown, padded, lower = cloud.work_off(
        job_message(Metadata="Metadata_Plate=P1,Metadata_Wel=A01", output="explained"),
        job_message(Metadata="Metadata_Site=04", **by_site),
        job_message(Metadata="Metadata_Plate=P1,Metadata_Well=a01", output="explained"),
    )
    for column in ("Metadata_Plate", "Metadata_Well", "Metadata_Site"):
        assert column in unknown["reason_text"]
    assert "as the number 4, which" in padded["reason_text"]
    for value in plate.WELLS:
        assert value in lower["reason_text"]


def test_a_broken_image_is_named(standing: Container) -> None:
    cloud = standing.cloud
    whole = plate.image(7)
    cloud.put({f"{plate.IMAGES_KEY}/half.tif": whole[: len(whole) // 2]})
    cloud.put({"half.csv": with_image("half.tif").encode()})
    (record,) = cloud.work_off(job_message(data_file="half.csv", output="half"))
    assert record["reason"] == "image_broken"
    assert f"{plate.IMAGES_KEY}/half.tif" in record["reason_text"]
