"""The worker as a container, on the real CellProfiler: what a job leaves behind, whatever happens.

The numbered tests are the defects of the original worker, none of which is in this one.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal

import pytest

import plate
from cloud import Cloud, Container, job_message, wait_for

pytestmark = pytest.mark.e2e

PREFIX = f"{plate.OUTPUT_KEY}/P1-A01/"
OUTPUTS = [f"{PREFIX}{name}.csv" for name in ("Experiment", "Image", "Nuclei")]


def counted(cloud: Cloud, prefix: str = PREFIX) -> dict[str, float]:
    """Nuclei by site in the job's Image.csv."""
    rows = csv.DictReader(io.StringIO(cloud.text(f"{prefix}Image.csv")))
    return {row["Metadata_Site"]: float(row["Count_Nuclei"]) for row in rows}


def truth(well: str) -> dict[str, float]:
    return {site: plate.nuclei(well, site) for site in plate.SITES}


def statuses(cloud: Cloud) -> dict[str, str]:
    """Status and reason of the run's records, by their Metadata."""
    return {
        record["Metadata"]: f"{record['status']} {record['reason']}".strip()
        for record in cloud.records()
    }


def local_files(container: Container) -> list[str]:
    return [str(path) for path in container.folder.rglob("*")]


def run_all(cloud: Cloud, container: Container, **changes: str) -> None:
    """Start the container and wait until no message is left."""
    container.start(**changes)
    wait_for(cloud.empty, "the queue to be empty", 120)


def test_a_job_leaves_outputs_record_and_log(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    cloud.send(job_message())
    run_all(cloud, container, UPLOAD_FLAGS="--acl bucket-owner-full-control")
    assert cloud.keys(PREFIX) == OUTPUTS
    assert counted(cloud) == truth("A01")
    (record,) = cloud.records("succeeded")
    sizes = [len(cloud.text(key).encode()) for key in OUTPUTS]
    assert (record["files"], record["bytes"]) == (3, sum(sizes))
    assert record["attempt"] == 1
    assert record["seconds"]["cellprofiler"] > 0
    assert record["peak_memory_mb"] > 50
    lines = wait_for(
        lambda: (
            [line for line in cloud.log_lines("P1-A01") if "End: succeeded" in line]
            and cloud.log_lines("P1-A01")
        ),
        "the job's log",
    )
    assert any("cellprofiler -c" in line for line in lines)
    assert any("module IdentifyPrimaryObjects" in line for line in lines)
    (line,) = container.lines()
    assert line == record


def test_image_numbers_are_those_of_the_whole_csv(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    cloud.send(job_message(Metadata="Metadata_Plate=P1,Metadata_Well=B02"))
    run_all(cloud, container)
    prefix = f"{plate.OUTPUT_KEY}/P1-B02/"
    rows = list(csv.DictReader(io.StringIO(cloud.text(f"{prefix}Image.csv"))))
    assert [row["ImageNumber"] for row in rows] == ["3", "4"]
    assert counted(cloud, prefix) == truth("B02")


def test_three_buckets_and_a_mapping(cloud: Cloud, container: Container) -> None:
    content = plate.objects()
    buckets = {name: f"{cloud.name}.{name}" for name in ("source", "workspace", "destination")}
    for bucket in buckets.values():
        cloud.s3.create_bucket(Bucket=bucket)
    for key, body in content.items():
        bucket = buckets["source" if key.endswith(".tif") else "workspace"]
        cloud.s3.put_object(Bucket=bucket, Key=key, Body=body)
    group = {"Metadata_Plate": "P1", "Metadata_Well": "A01"}
    cloud.send(job_message(Metadata=group, output_structure="Metadata_Plate/Metadata_Well"))
    run_all(cloud, container, **{f"{what.upper()}_BUCKET": name for what, name in buckets.items()})
    found = cloud.s3.list_objects_v2(Bucket=buckets["destination"])["Contents"]
    assert f"{plate.OUTPUT_KEY}/P1/A01/Image.csv" in [item["Key"] for item in found]
    assert statuses(cloud) == {"Metadata_Plate=P1,Metadata_Well=A01": "succeeded"}


def test_1_a_done_file_of_an_earlier_job_makes_no_success(
    cloud: Cloud, container: Container
) -> None:
    cloud.put_plate()
    cloud.put({"broken.cppipe": plate.pipeline(image="OrigRed").encode()})
    cloud.send(job_message())
    run_all(cloud, container)
    cloud.send(job_message(pipeline="broken.cppipe"))
    wait_for(lambda: cloud.records("failed"), "the second job to fail")
    assert len(cloud.records("succeeded")) == 1
    assert cloud.records("failed")[0]["reason"] == "channel_missing"


def failing(cloud: Cloud) -> dict[str, str]:
    """Put what the failure table needs, send a job for each row; the reason expected of each."""
    rows = plate.load_data_rows
    text = plate.pipeline()
    header = plate.load_data(rows()).splitlines(keepends=True)[0]
    missing, zero = rows(), rows()
    missing[0]["FileName_DNA"] = "gone.tif"
    zero[0]["FileName_DNA"] = "zero.tif"
    by_site = plate.pipeline(tags="Site")
    objects = {
        "missing.csv": plate.load_data(missing),
        "zero.csv": plate.load_data(zero),
        f"{plate.IMAGES_KEY}/zero.tif": "",
        "site.cppipe": by_site,
        "channel.cppipe": plate.pipeline(image="OrigRed"),
        "short.csv": plate.load_data(rows()).rsplit(",", 2)[0] + "\n",
        "header.csv": header,
        "empty.cppipe": "",
        "garbage.cppipe": "hello\nworld\n" * 10,
        "cut_between.cppipe": text[: text.index("ExportToSpreadsheet")],
        "cut_within.cppipe": text[: text.index("Data to export") + 5],
        "unknown.cppipe": plate.pipeline(unknown_module=True),
        "no_export.cppipe": text[: text.index("ExportToSpreadsheet")].replace(
            "ModuleCount:4", "ModuleCount:3"
        ),
    }
    cloud.put({key: body.encode() for key, body in objects.items()})
    wells = "Metadata_Plate=P1,Metadata_Well=A01"
    table = {
        "image_missing": {"data_file": "missing.csv"},
        "image_unreadable": {"data_file": "zero.csv"},
        "group_not_found": {"Metadata": "Metadata_Plate=P1,Metadata_Well=Z99"},
        "group_not_found#2": {"Metadata": "Metadata_Site=002", "pipeline": "site.cppipe"},
        "group_not_found#3": {"Metadata": "Metadata_Position=1"},
        "group_keys": {"Metadata": "Metadata_Plate=P1"},
        "data_file_missing": {"data_file": "gone.csv"},
        "channel_missing": {"pipeline": "channel.cppipe"},
        "csv_malformed": {"data_file": "short.csv"},
        "csv_empty": {"data_file": "header.csv"},
        "pipeline_missing": {"pipeline": "gone.cppipe"},
        "pipeline_unreadable": {"pipeline": "empty.cppipe"},
        "pipeline_unreadable#2": {"pipeline": "garbage.cppipe"},
        "pipeline_broken": {"pipeline": "cut_between.cppipe"},
        "pipeline_broken#2": {"pipeline": "cut_within.cppipe"},
        "unknown_module": {"pipeline": "unknown.cppipe"},
        "no_outputs": {"pipeline": "no_export.cppipe"},
    }
    expected = {}
    for number, (reason, changes) in enumerate(table.items()):
        job_id = f"{number:032x}"
        cloud.send(job_message(**{"Metadata": wells, **changes, "job_id": job_id}))
        expected[job_id] = reason.partition("#")[0]
    return expected


def test_2_every_failure_of_the_table_is_recorded_and_nothing_is_uploaded(
    cloud: Cloud, container: Container
) -> None:
    cloud.put_plate()
    expected = failing(cloud)
    run_all(cloud, container, DOCKER_CORES="2")
    records = cloud.records()
    assert {record["job_id"]: record["reason"] for record in records} == expected
    assert {record["status"] for record in records} == {"failed"}
    # All are the same on every machine: no retry is wasted.
    assert {record["attempt"] for record in records} == {1}
    assert cloud.keys(plate.OUTPUT_KEY) == []
    assert cloud.counts(cloud.dead_letter_url)["visible"] == len(expected)
    for letter in cloud.dead_letters():
        attributes = letter["MessageAttributes"]
        job_id = attributes["job_id"]["StringValue"]
        assert attributes["reason"]["StringValue"] == expected[job_id]
        assert json.loads(letter["Body"])["job_id"] == job_id


def test_3_a_message_that_is_no_job_kills_nothing(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    container.start()
    (slot,) = wait_for(container.slots, "the slot to start")
    cloud.send("this is not JSON")
    cloud.send(json.dumps({"pipeline": "p"}))
    wait_for(lambda: len(cloud.records("failed")) == 2, "both to be refused")
    cloud.send(job_message())
    wait_for(lambda: cloud.records("succeeded"), "the job after them to be done")
    assert container.slots() == [slot]
    assert all("/message-" in key for key in cloud.keys(f"dcp/{cloud.name}/") if "failed" in key)
    assert {record["reason"] for record in cloud.records("failed")} == {"bad_message"}
    assert len(cloud.dead_letters()) == 2


def test_4_skipping_with_a_necessary_string(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    cloud.put({f"{PREFIX}Image.csv": b"x" * 10, f"{PREFIX}Nuclei.csv": b"x" * 10})
    cloud.put({f"{plate.OUTPUT_KEY}/P1-B02/Nuclei.csv": b"x" * 10})
    cloud.send(job_message())
    cloud.send(job_message(Metadata="Metadata_Plate=P1,Metadata_Well=B02"))
    run_all(
        cloud,
        container,
        CHECK_IF_DONE_BOOL="True",
        EXPECTED_NUMBER_FILES="1",
        NECESSARY_STRING="Image",
        MIN_FILE_SIZE_BYTES="5",
    )
    assert statuses(cloud) == {
        "Metadata_Plate=P1,Metadata_Well=A01": "skipped already_done",
        "Metadata_Plate=P1,Metadata_Well=B02": "succeeded",
    }


def test_5_an_empty_queue_is_no_reason_to_leave(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    cloud.send(job_message())
    hidden = cloud.sqs.receive_message(QueueUrl=cloud.queue_url, VisibilityTimeout=8)["Messages"]
    assert hidden
    run_all(cloud, container)
    assert [record["attempt"] for record in cloud.records("succeeded")] == [2]
    assert container.process is not None
    assert container.process.poll() is None


def test_6_no_local_file_is_left(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    cloud.put({"channel.cppipe": plate.pipeline(image="OrigRed").encode(), "rules/r.txt": b"r"})
    cloud.send(job_message(input="rules"))
    cloud.send(job_message(pipeline="channel.cppipe"))
    run_all(cloud, container)
    assert len(cloud.records()) == 2
    wait_for(lambda: not local_files(container), "the local files to be removed")


def test_7_a_missing_image_fails_before_cellprofiler_runs(
    cloud: Cloud, container: Container
) -> None:
    cloud.put_plate()
    gone = plate.image_key("A01", "2")
    cloud.s3.delete_object(Bucket=cloud.bucket, Key=gone)
    cloud.send(job_message())
    cloud.send(job_message(Metadata="Metadata_Plate=P1,Metadata_Well=B02"))
    run_all(cloud, container)
    (record,) = cloud.records("failed")
    assert record["reason"] == "image_missing"
    assert f"s3://{cloud.bucket}/{gone}" in record["reason_text"]
    assert record["seconds"]["cellprofiler"] == 0
    assert len(cloud.records("succeeded")) == 1


def test_8_a_job_longer_than_the_visibility_timeout_is_run_once(
    cloud: Cloud, container: Container
) -> None:
    cloud.put_plate()
    # CellProfiler alone needs longer than 3 s with this many image sets.
    rows = plate.load_data_rows() * 30
    cloud.put({"long.csv": plate.load_data(rows).encode()})
    cloud.send(job_message(data_file="long.csv"))
    run_all(cloud, container, SQS_MESSAGE_VISIBILITY="3", DOCKER_CORES="2")
    assert [record["attempt"] for record in cloud.records("succeeded")] == [1]
    assert [line["status"] for line in container.lines()] == ["succeeded"]
    assert cloud.records()[0]["seconds"]["cellprofiler"] > 3


def test_8_a_job_beyond_the_timeout_is_killed_and_recorded(
    cloud: Cloud, container: Container
) -> None:
    cloud.put_plate()
    cloud.send(job_message())
    run_all(cloud, container, JOB_TIMEOUT="1", JOB_RETRIES="2")
    assert [(line["status"], line["reason"]) for line in container.lines()] == [
        ("returned", "timeout"),
        ("failed", "timeout"),
    ]
    (record,) = cloud.records("failed")
    assert (record["reason"], record["attempt"]) == ("timeout", 2)
    assert len(cloud.dead_letters()) == 1
    assert container.cellprofilers() == []


def test_9_spaces_and_leading_dashes_reach_cellprofiler_whole(
    cloud: Cloud, container: Container
) -> None:
    rows = [{**row, "Metadata_Plate": "-P 1 µ"} for row in plate.load_data_rows()]
    cloud.put_plate()
    cloud.put({"-my plate/load data.csv": plate.load_data(rows).encode()})
    cloud.put({"-my plate/-count it.cppipe": plate.pipeline().encode()})
    cloud.send(
        job_message(
            Metadata="Metadata_Plate=-P 1 µ,Metadata_Well=A01",
            data_file="-my plate/load data.csv",
            pipeline="-my plate/-count it.cppipe",
        )
    )
    run_all(cloud, container)
    assert counted(cloud, f"{plate.OUTPUT_KEY}/-P 1 µ-A01/") == truth("A01")


def test_10_a_key_that_begins_another_key_does_not_corrupt_the_path(
    cloud: Cloud, container: Container
) -> None:
    rows = [{**row, "Metadata_SiteName": "north"} for row in plate.load_data_rows()]
    cloud.put_plate()
    cloud.put({"named.csv": plate.load_data(rows).encode()})
    cloud.put({"named.cppipe": plate.pipeline(tags="Site,SiteName").encode()})
    cloud.send(
        job_message(
            Metadata="Metadata_Site=1,Metadata_SiteName=north",
            data_file="named.csv",
            pipeline="named.cppipe",
            output_structure="Metadata_SiteName/Metadata_Site",
        )
    )
    run_all(cloud, container)
    assert f"{plate.OUTPUT_KEY}/north/1/Image.csv" in cloud.keys(plate.OUTPUT_KEY)


def test_a_job_delivered_twice_is_done_once(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    cloud.send(job_message())
    cloud.send(job_message())
    run_all(cloud, container)
    assert [line["status"] for line in container.lines()] == ["succeeded", "repeated"]
    assert len(cloud.records()) == 1


def test_a_log_service_that_refuses_stops_nothing(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    cloud.send(job_message())
    run_all(cloud, container, LOG_GROUP_NAME="no-such-group")
    assert len(cloud.records("succeeded")) == 1
    assert container.stop() == 0


def start_a_job(cloud: Cloud, container: Container, **changes: str) -> int:
    """Start a container on one job and wait until CellProfiler runs; its process id."""
    cloud.put_plate()
    cloud.send(job_message())
    container.start(**changes)
    (pid,) = wait_for(container.cellprofilers, "CellProfiler to run")
    return int(pid)


def visible(cloud: Cloud) -> bool:
    return cloud.counts() == {"visible": 1, "in flight": 0}


def test_sigterm_returns_the_message_and_leaves_nothing(cloud: Cloud, container: Container) -> None:
    start_a_job(cloud, container, DOCKER_CORES="2")
    assert container.stop() == 0
    assert container.processes() == {}
    assert local_files(container) == []
    wait_for(lambda: visible(cloud), "the message to be returned", 20)
    assert (cloud.records(), cloud.keys(PREFIX)) == ([], [])
    run_all(cloud, container)
    assert [record["attempt"] for record in cloud.records("succeeded")] == [2]


def test_sigterm_at_the_last_attempt_costs_no_job(cloud: Cloud, container: Container) -> None:
    start_a_job(cloud, container, JOB_RETRIES="1")
    assert container.stop() == 0
    wait_for(lambda: visible(cloud), "the message to be there again")
    run_all(cloud, container, JOB_RETRIES="1")
    assert [record["attempt"] for record in cloud.records("succeeded")] == [1]
    assert cloud.dead_letters() == []


def test_sigkill_of_the_main_process_leaves_no_process(cloud: Cloud, container: Container) -> None:
    start_a_job(cloud, container, DOCKER_CORES="2")
    container.kill(signal.SIGKILL)
    wait_for(lambda: not container.processes(), "slots and CellProfiler to end")
    wait_for(lambda: visible(cloud), "the message to be returned", 20)
    run_all(cloud, container)
    assert len(cloud.records("succeeded")) == 1


def test_a_killed_slot_is_replaced_and_its_job_done(cloud: Cloud, container: Container) -> None:
    cellprofiler = start_a_job(cloud, container)
    (slot,) = container.slots()
    os.kill(slot, signal.SIGKILL)
    wait_for(lambda: cellprofiler not in container.processes(), "its CellProfiler to end")
    wait_for(lambda: cloud.records("succeeded"), "the job to be done by the next slot")
    assert container.slots() != [slot]
    assert [record["attempt"] for record in cloud.records()] == [2]


def test_a_killed_cellprofiler_costs_one_attempt_and_no_slot(
    cloud: Cloud, container: Container
) -> None:
    cellprofiler = start_a_job(cloud, container)
    slots = container.slots()
    os.kill(cellprofiler, signal.SIGKILL)
    wait_for(cloud.empty, "the job to be done", 120)
    assert [(line["status"], line["reason"]) for line in container.lines()] == [
        ("returned", "killed"),
        ("succeeded", ""),
    ]
    assert container.slots() == slots


def test_a_worker_that_lost_its_lease_neither_uploads_nor_deletes(
    cloud: Cloud, container: Container
) -> None:
    start_a_job(cloud, container, SQS_MESSAGE_VISIBILITY="3")
    cloud.sqs.purge_queue(QueueUrl=cloud.queue_url)
    wait_for(container.lines, "the attempt to end")
    assert [(line["status"], line["reason"]) for line in container.lines()] == [
        ("returned", "lease_lost")
    ]
    assert container.cellprofilers() == []
    assert (cloud.records(), cloud.keys(PREFIX)) == ([], [])
