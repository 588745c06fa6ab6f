"""The worker as a container, on the real CellProfiler: what a job leaves behind, whatever happens.

The numbered tests are the defects of the original worker, none of which is in this one.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import socket
import uuid
from collections.abc import Iterator

import pytest
from dcp_worker.slot import CACHE

import plate
from cloud import RUN, Cloud, Container, job_message, wait_for

pytestmark = pytest.mark.e2e

PREFIX = f"{plate.OUTPUT_KEY}/P1-A01/"
OUTPUTS = ("Experiment.csv", "Image.csv", "Nuclei.csv")
B02 = "Metadata_Plate=P1,Metadata_Well=B02"
WHOLE = job_message(output="whole", input="rules")


@pytest.fixture(scope="module")
def standing(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A container of two slots that serves many tests, each with an output folder of its own."""
    cloud = Cloud.make(f"t{uuid.uuid4().hex[:10]}")
    cloud.put_plate()
    container = Container(cloud, tmp_path_factory.mktemp("standing") / "work")
    container.start(DOCKER_CORES="2", UPLOAD_OPTIONS='{"ACL": "bucket-owner-full-control"}')
    yield container
    assert container.stop() == 0
    assert container.processes() == {}


def reasons(records: list[dict[str, object]]) -> list[str]:
    return [f"{record['status']} {record['reason']}".strip() for record in records]


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
    """The files of jobs; the machine's cache is there until the container ends."""
    cache, files = container.folder / CACHE, container.folder.rglob("*")
    return [str(path) for path in files if path.is_file() and cache not in path.parents]


def run_all(cloud: Cloud, container: Container, **changes: str) -> None:
    """Start the container and wait until no message is left."""
    container.start(**changes)
    wait_for(cloud.empty, "the queue to be empty", 120)


def test_a_job_leaves_outputs_record_and_log(standing: Container) -> None:
    cloud = standing.cloud
    cloud.put({"rules/r.txt": b"r"})
    (record,) = cloud.work_off(WHOLE)
    assert cloud.keys("whole") == [f"whole/P1-A01/{name}" for name in OUTPUTS]
    assert counted(cloud, "whole/P1-A01/") == truth("A01")
    sizes = [len(cloud.text(key).encode()) for key in cloud.keys("whole")]
    assert (record["files"], record["bytes"]) == (3, sum(sizes))
    assert (record["status"], record["attempt"]) == ("succeeded", 1)
    assert record["seconds"]["cellprofiler"] > 0
    assert record["peak_memory_mb"] > 50

    def ended() -> bool:
        return any("End: succeeded" in line for line in cloud.log_lines("P1-A01"))

    wait_for(ended, "the job's log")
    lines = cloud.log_lines("P1-A01")
    assert any("cellprofiler -c" in line for line in lines)
    assert any("module IdentifyPrimaryObjects" in line for line in lines)
    assert [line for line in standing.lines() if line["job_id"] == record["job_id"]] == [record]


def test_names_that_mean_something_to_others(standing: Container) -> None:
    cloud = standing.cloud
    name, folder, value = "ü+%20 #?&='s1.tif", "odd images/50%+ü", "P 1+%2F ü&#?{x}"
    cloud.put({f"{folder}/{name}": plate.image(7)})
    row = {"FileName_DNA": name, "PathName_DNA": f"{plate.ROOT}{folder}/", "Note": 'a, "b"'}
    metadata = {"Metadata_Plate": value, "Metadata_Well": "A01", "Metadata_Site": "1"}
    other = {**metadata, "Metadata_Plate": "P0", "Note": "", "FileName_DNA": "gone.tif"}
    url = {"URL_DNA": f"s3://{cloud.bucket}/{folder}/{name}", **metadata}
    text = plate.load_data([{**row, **other}, {**row, **metadata}, {**row, **other}])
    cloud.put(
        {
            # As a spreadsheet saves it: a byte order mark and CRLF, the rows in no order.
            "odd/ü+%20 a.csv": b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
            "odd/url.csv": plate.load_data([url]).encode(),
            "odd/ü+%20 a.cppipe": plate.pipeline().encode(),
        }
    )
    group = f"Metadata_Plate={value},Metadata_Well=A01"
    odd = {"Metadata": group, "pipeline": "odd/ü+%20 a.cppipe"}
    records = cloud.work_off(
        job_message(**odd, data_file="odd/ü+%20 a.csv", output="/odd//ü+%20 a/"),
        job_message(**odd, data_file="odd/url.csv", output="odd/url"),
    )
    assert reasons(records) == ["succeeded", "succeeded"]
    assert records[0]["output"] == f"odd/ü+%20 a/{value}-A01/"
    assert [counted(cloud, record["output"]) for record in records] == [{"1": 7}, {"1": 7}]


def test_paths_of_every_kind(standing: Container) -> None:
    cloud = standing.cloud
    folders = {
        "relative": plate.IMAGES_KEY,
        "slash": f"{plate.ROOT}{plate.IMAGES_KEY}/",
        "s3": f"s3://{cloud.bucket}/{plate.IMAGES_KEY}/",
        "input": "",
    }
    rows = [
        {**row, "PathName_DNA": folder, "Metadata_Site": kind, "Metadata_Well": "A01"}
        for row, (kind, folder) in zip(plate.load_data_rows(), folders.items())
    ]
    cloud.put({"paths.csv": plate.load_data(rows).encode()})
    body = job_message(data_file="paths.csv", input=f"/{plate.IMAGES_KEY}/", output="paths")
    assert reasons(cloud.work_off(body)) == ["succeeded"]
    counts = [count for well in plate.WELLS for count in truth(well).values()]
    assert counted(cloud, "paths/P1-A01/") == dict(zip(folders, counts))


def test_numbers_as_cellprofiler_writes_them(standing: Container) -> None:
    cloud = standing.cloud
    sites = {"padded": ("001", "002"), "decimal": ("1", "2.50")}
    for kind, names in sites.items():
        rows = plate.load_data_rows()[:2]
        for row, name in zip(rows, names):
            row["Metadata_Site"] = name
        cloud.put({f"numbers/{kind}.csv": plate.load_data(rows).encode()})
    cloud.put({"numbers/site.cppipe": plate.pipeline(tags="Site").encode()})
    asked = {"padded": ("2", "002"), "decimal": ("1.0", "1")}
    bodies = [
        job_message(
            Metadata={"Metadata_Site": value},
            output_structure="Metadata_Site",
            pipeline="numbers/site.cppipe",
            data_file=f"numbers/{kind}.csv",
            output=f"numbers/{kind}",
        )
        for kind, values in asked.items()
        for value in values
    ]
    assert reasons(cloud.work_off(*bodies)) == [
        "succeeded",
        "failed group_not_found",
        "succeeded",
        "failed group_not_found",
    ]


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


def test_1_a_done_file_of_an_earlier_job_makes_no_success(standing: Container) -> None:
    # A wrong grouping key ends CellProfiler before it writes a done file of its own. Two at once:
    # one for each slot.
    bodies = [job_message(Metadata="Metadata_Plate=P1", output=f"done/{slot}") for slot in (1, 2)]
    records = standing.cloud.work_off(WHOLE, *bodies)
    assert reasons(records) == ["succeeded", "failed group_keys", "failed group_keys"]
    assert [record["attempt"] for record in records] == [1, 1, 1]
    assert standing.cloud.keys("done") == []


def failing(cloud: Cloud) -> dict[str, str]:
    """Put what the failure table needs; a message for each row, with the reason expected of it."""
    rows = plate.load_data_rows
    text = plate.pipeline()
    header = plate.load_data(rows()).splitlines(keepends=True)[0]
    whole = plate.image(7)
    images = {"zero.tif": b"", "cut.tif": whole[: len(whole) // 2], "text.tif": b"<Error/>"}
    images["alien.C01"] = b"of no format that Bio-Formats knows"
    data_files = {}
    for name in ("gone.tif", *images):
        changed = rows()
        changed[0]["FileName_DNA"] = name
        data_files[f"{name}.csv"] = plate.load_data(changed)
    by_site = plate.pipeline(tags="Site")
    objects = {
        **data_files,
        "site.cppipe": by_site,
        "channel.cppipe": plate.pipeline(image="OrigRed"),
        "short.csv": plate.load_data(rows()).rsplit(",", 2)[0] + "\n",
        "header.csv": header,
        "empty.cppipe": "",
        "cut_between.cppipe": text[: text.index("ExportToSpreadsheet")],
        "cut_within.cppipe": text[: text.index("Data to export") + 5],
        "unknown.cppipe": plate.pipeline(unknown_module=True),
        "no_export.cppipe": text[: text.index("ExportToSpreadsheet")].replace(
            "ModuleCount:4", "ModuleCount:3"
        ),
    }
    cloud.put({key: body.encode() for key, body in objects.items()})
    cloud.put({f"{plate.IMAGES_KEY}/{name}": body for name, body in images.items()})
    wells = "Metadata_Plate=P1,Metadata_Well=A01"
    table = {
        "image_missing": {"data_file": "gone.tif.csv"},
        "image_broken": {"data_file": "zero.tif.csv"},
        "image_broken#2": {"data_file": "cut.tif.csv"},
        "image_broken#3": {"data_file": "text.tif.csv"},
        "image_unreadable": {"data_file": "alien.C01.csv"},
        "group_not_found": {"Metadata": "Metadata_Plate=P1,Metadata_Well=Z99"},
        "group_not_found#2": {"Metadata": "Metadata_Site=002", "pipeline": "site.cppipe"},
        "group_not_found#3": {"Metadata": "Metadata_Position=1"},
        "data_file_missing": {"data_file": "gone.csv"},
        "channel_missing": {"pipeline": "channel.cppipe"},
        "csv_malformed": {"data_file": "short.csv"},
        "csv_empty": {"data_file": "header.csv"},
        "pipeline_missing": {"pipeline": "gone.cppipe"},
        "pipeline_unreadable": {"pipeline": "empty.cppipe"},
        "pipeline_broken": {"pipeline": "cut_between.cppipe"},
        "pipeline_broken#2": {"pipeline": "cut_within.cppipe"},
        "unknown_module": {"pipeline": "unknown.cppipe"},
        "no_outputs": {"pipeline": "no_export.cppipe"},
    }
    expected = {}
    for number, (reason, changes) in enumerate(table.items()):
        job_id = f"{number:032x}"
        body = job_message(**{"Metadata": wells, "output": "table", **changes, "job_id": job_id})
        expected[body] = reason.partition("#")[0]
    return expected


def test_2_every_failure_of_the_table_is_recorded_and_nothing_is_uploaded(
    standing: Container,
) -> None:
    cloud = standing.cloud
    cloud.dead_letters()
    expected = failing(cloud)
    records = cloud.work_off(*expected)
    assert [record["reason"] for record in records] == list(expected.values())
    assert {record["status"] for record in records} == {"failed"}
    # All are the same on every machine: no retry is wasted.
    assert {record["attempt"] for record in records} == {1}
    assert cloud.keys("table") == []
    letters = cloud.dead_letters()
    assert {letter["Body"] for letter in letters} == set(expected)
    for letter in letters:
        attributes = letter["MessageAttributes"]
        assert attributes["reason"]["StringValue"] == expected[letter["Body"]]
        job_id = attributes["job_id"]["StringValue"]
        assert json.loads(letter["Body"])["job_id"] == job_id


def test_3_and_5_neither_a_message_that_is_no_job_nor_an_empty_queue_ends_a_slot(
    standing: Container,
) -> None:
    cloud = standing.cloud
    slots = wait_for(lambda: len(standing.slots()) == 2 and standing.slots(), "both slots")
    cloud.dead_letters()
    bodies = {"this is not JSON", json.dumps({"pipeline": "p"}), "[]", '{"Metadata": "\\ud800"}'}
    for body in bodies:
        cloud.send(body)
    # Defect 5, too: hidden for longer than a poll lasts, as a returned message is.
    later = job_message(output="later")
    cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody=later, DelaySeconds=5)
    wait_for(lambda: cloud.keys("later"), "the job to be done")
    refused = [record for record in cloud.records("failed") if record["reason"] == "bad_message"]
    assert [record["job_id"] for record in refused] == [""] * 4
    keys = cloud.keys(f"dcp/{cloud.name}/{RUN}/results/failed/message-")
    assert len(keys) == 4
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
    # It was begun before: what lies there may be half of its outputs.
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
    found = {record["output"]: record["status"] for record in cloud.records()}
    assert found == {
        PREFIX: "skipped",
        f"{plate.OUTPUT_KEY}/P1-B02/": "succeeded",
        "begun/P1-A01/": "succeeded",
    }
    assert [record["reason"] for record in cloud.records("skipped")] == ["already_done"]
    assert counted(cloud, "begun/P1-A01/") == truth("A01")


def test_6_no_local_file_is_left(standing: Container) -> None:
    cloud = standing.cloud
    cloud.put({"no.cppipe": b"hello\nworld\n" * 10, "rules/r.txt": b"r"})
    records = cloud.work_off(WHOLE, job_message(pipeline="no.cppipe", input="rules"))
    assert reasons(records) == ["succeeded", "failed pipeline_unreadable"]
    wait_for(lambda: not local_files(standing), "the local files to be removed")


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
    # The images of other groups are not there, but their rows are counted.
    outputs = csv.DictReader(io.StringIO(cloud.text(f"{sound['output']}Image.csv")))
    assert [row["ImageNumber"] for row in outputs] == ["3", "4"]


def test_8_a_job_longer_than_the_visibility_timeout_is_run_once(
    cloud: Cloud, container: Container
) -> None:
    cloud.put_plate()
    # CellProfiler alone needs longer than 3 s with this many image sets.
    rows = plate.load_data_rows() * 30
    cloud.put({"long.csv": plate.load_data(rows).encode()})
    cloud.send(job_message(data_file="long.csv"))
    run_all(cloud, container, SQS_MESSAGE_VISIBILITY="3", DOCKER_CORES="2")
    # A second run that is still under way would tell of its end now.
    assert container.stop() == 0
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


def test_9_spaces_and_leading_dashes_reach_cellprofiler_whole(standing: Container) -> None:
    cloud = standing.cloud
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


def test_a_job_delivered_twice_is_done_once(standing: Container) -> None:
    cloud = standing.cloud
    (record,) = cloud.work_off(job_message(output="twice"))
    cloud.send(job_message(output="twice"))

    def told() -> list[str]:
        return [line["status"] for line in standing.lines() if line["job_id"] == record["job_id"]]

    wait_for(lambda: len(told()) == 2 and cloud.empty(), "the second delivery to end")
    assert told() == ["succeeded", "repeated"]
    assert record in cloud.records("succeeded")


def test_a_log_service_that_refuses_stops_nothing(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    cloud.send(job_message())
    run_all(cloud, container, LOG_GROUP_NAME="no-such-group")
    assert len(cloud.records("succeeded")) == 1
    assert container.stop() == 0


def test_a_log_service_that_does_not_answer_stops_nothing(
    cloud: Cloud, container: Container
) -> None:
    cloud.put_plate()
    cloud.send(job_message())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        run_all(cloud, container, AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=url)
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
