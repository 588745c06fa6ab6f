"""The numbered defects of the original worker: this one has none of them.

Defect 2, a pipeline that loads only in part, is in test_failures.py.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal

import pytest
from waiting import wait_for

import plate
from cloud import RUN, Cloud, Container, job_message
from results import (
    B02,
    OUTPUTS,
    PREFIX,
    attempts,
    counted,
    local_files,
    reasons,
    run_all,
    send_long,
    shorten,
    truth,
)

pytestmark = pytest.mark.e2e


def test_1_a_done_file_of_an_earlier_job_makes_no_success(either: Container) -> None:
    # With a wrong grouping key, CellProfiler exits before it writes its own done file. There are
    # more good jobs than slots, so that each slot has run a good job before.
    good = [job_message(output=f"done before/{number}") for number in range(4)]
    bad = [job_message(Metadata="Metadata_Plate=P1", output=f"done/{slot}") for slot in range(2)]
    records = either.cloud.work_off(*good, *bad)
    assert reasons(records) == ["succeeded"] * 4 + ["failed group_keys"] * 2
    assert [record["attempt"] for record in records] == [1] * 6
    assert either.cloud.keys("done/") == []


def test_3_and_5_a_slot_survives_a_bad_message_and_an_empty_queue(
    standing: Container,
) -> None:
    cloud = standing.cloud
    slots = wait_for(lambda: len(standing.slots()) == 2 and standing.slots(), "both slots")
    cloud.dead_letters()
    bodies = {"this is not JSON", json.dumps({"pipeline": "p"}), "[]", '{"Metadata": "\\ud800"}'}
    for body in bodies:
        cloud.send(body)
    # Defect 5, too: like a returned message, this one is hidden for longer than a poll.
    later = job_message(output="later")
    cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody=later, DelaySeconds=5)
    wait_for(lambda: cloud.records("succeeded") and cloud.keys("later"), "the job to be done")
    keys = cloud.keys(f"dcp/{cloud.name}/{RUN}/results/failed/message-")
    assert [json.loads(cloud.text(key))["reason"] for key in keys] == ["bad_message"] * 4
    letters = cloud.dead_letters()
    assert {letter["Body"] for letter in letters} == bodies
    for letter in letters:
        reason = letter["MessageAttributes"]["reason_text"]["StringValue"]
        assert reason in standing.log.read_text()
    assert standing.slots() == slots


def test_4_skipping_with_a_necessary_string(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    cloud.put({f"{PREFIX}Image.csv": b"x" * 10, f"{PREFIX}Nuclei.csv": b"x" * 10})
    cloud.put({f"{plate.OUTPUT_KEY}/P1-B02/Nuclei.csv": b"x" * 10})
    cloud.put({"begun/P1-A01/Image.csv": b"x" * 10})
    # The job was started before, so its folder may hold only a part of its outputs.
    cloud.send(job_message(output="begun"))
    cloud.sqs.receive_message(QueueUrl=cloud.queue_url, VisibilityTimeout=0)
    cloud.send(job_message())
    cloud.send(job_message(Metadata=B02))
    run_all(
        cloud,
        container,
        DOCKER_CORES="2",
        CHECK_IF_DONE_BOOL="True",
        EXPECTED_NUMBER_FILES="1",
        NECESSARY_STRING="Image",
        MIN_FILE_SIZE_BYTES="5",
    )
    statuses = {record["output"]: record["status"] for record in cloud.records()}
    assert statuses == {
        PREFIX: "skipped",
        f"{plate.OUTPUT_KEY}/P1-B02/": "succeeded",
        "begun/P1-A01/": "succeeded",
    }
    assert [record["reason"] for record in cloud.records("skipped")] == ["already_done"]
    assert counted(cloud, "begun/P1-A01/") == truth("A01")


def test_6_no_local_file_remains(either: Container) -> None:
    cloud = either.cloud
    cloud.put({"no.cppipe": b"hello\nworld\n" * 10})
    good = job_message(output="left", input="rules")
    records = cloud.work_off(good, job_message(pipeline="no.cppipe", input="rules", output="left"))
    assert reasons(records) == ["succeeded", "failed pipeline_unreadable"]
    wait_for(lambda: not list(filter(os.path.isfile, local_files(either))), "no file to be left")


def test_7_a_missing_image_fails_before_cellprofiler_runs(standing: Container) -> None:
    cloud = standing.cloud
    rows = plate.load_data_rows()
    rows[1]["FileName_DNA"] = "never imaged.tif"
    cloud.put({"missing.csv": plate.load_data(rows).encode()})
    missing = {"data_file": "missing.csv", "output": "missing"}
    lacking, sound = cloud.work_off(job_message(**missing), job_message(**missing, Metadata=B02))
    assert lacking["reason"] == "image_missing"
    gone = f"s3://{cloud.bucket}/{plate.IMAGES_KEY}/never imaged.tif"
    assert gone in lacking["reason_text"]
    assert lacking["seconds"]["cellprofiler"] == 0
    assert sound["status"] == "succeeded"
    assert counted(cloud, sound["output"]) == truth("B02")
    # The images of other groups are missing, but their rows count for the numbers.
    outputs = csv.DictReader(io.StringIO(cloud.text(f"{sound['output']}Image.csv")))
    assert [row["ImageNumber"] for row in outputs] == ["3", "4"]


@pytest.mark.parametrize("warm", ["True", "False"])
def test_8_a_job_longer_than_the_visibility_timeout_is_run_once(
    cloud: Cloud, container: Container, warm: str
) -> None:
    # Longer than a busy machine may delay the renewal, but shorter than the job.
    seconds = 6
    send_long(cloud, times=90)
    run_all(cloud, container, SQS_MESSAGE_VISIBILITY=str(seconds), DOCKER_CORES="2", WARM=warm)
    # A second attempt still in progress would now log its end.
    assert container.stop() == 0
    assert [record["attempt"] for record in cloud.records("succeeded")] == [1]
    assert attempts(container) == ["succeeded"]
    assert cloud.records()[0]["seconds"]["cellprofiler"] > seconds


@pytest.mark.parametrize("warm", ["True", "False"])
def test_8_a_job_beyond_the_timeout_is_killed_and_recorded(
    cloud: Cloud, container: Container, warm: str
) -> None:
    send_long(cloud)
    run_all(cloud, container, JOB_TIMEOUT="1", JOB_RETRIES="2", WARM=warm)
    assert attempts(container) == ["returned timeout", "failed timeout"]
    (record,) = cloud.records("failed")
    assert (record["reason"], record["attempt"]) == ("timeout", 2)
    assert len(cloud.dead_letters()) == 1
    assert not container.computing()


def test_8_a_crashed_worker_waits_out_no_visibility_timeout(
    cloud: Cloud, container: Container
) -> None:
    send_long(cloud)
    container.start(SQS_MESSAGE_VISIBILITY="43200")
    wait_for(container.computing, "CellProfiler to run")
    shorten(cloud)
    os.kill(container.slots()[0], signal.SIGKILL)
    wait_for(lambda: cloud.records("succeeded"), "the job to be done")
    assert [record["attempt"] for record in cloud.records()] == [2]


def test_9_spaces_and_leading_dashes_reach_cellprofiler_whole(either: Container) -> None:
    cloud = either.cloud
    rows = [{**row, "Metadata_Plate": "-P 1 µ"} for row in plate.load_data_rows()]
    cloud.put({"-my plate/load data.csv": plate.load_data(rows).encode()})
    cloud.put({"-my plate/-count it.cppipe": plate.pipeline().encode()})
    cloud.work_off(
        job_message(
            Metadata="Metadata_Plate=-P 1 µ,Metadata_Well=A01",
            data_file="-my plate/load data.csv",
            pipeline="-my plate/-count it.cppipe",
            output="-dashes",
        )
    )
    assert counted(cloud, "-dashes/-P 1 µ-A01/") == truth("A01")


def test_10_a_key_that_begins_another_key_does_not_corrupt_the_path(standing: Container) -> None:
    cloud = standing.cloud
    rows = [{**row, "Metadata_SiteName": "north"} for row in plate.load_data_rows()]
    cloud.put({"named.csv": plate.load_data(rows).encode()})
    cloud.put({"named.cppipe": plate.pipeline(tags="Site,SiteName").encode()})
    cloud.work_off(
        job_message(
            Metadata="Metadata_Site=1,Metadata_SiteName=north",
            data_file="named.csv",
            pipeline="named.cppipe",
            output="named",
            output_structure="Metadata_SiteName/Metadata_Site",
        )
    )
    assert cloud.keys("named/") == [f"named/north/1/{name}" for name in OUTPUTS]
