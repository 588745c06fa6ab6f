"""The worker as a container, on the real CellProfiler: the results of good jobs."""

from __future__ import annotations

import socket

import pytest
from waiting import wait_for

import plate
from cloud import Cloud, Container, job_message
from results import A01, OUTPUTS, counted, reasons, run_all, truth

pytestmark = pytest.mark.e2e


def test_a_job_leaves_outputs_record_and_log(either: Container) -> None:
    cloud = either.cloud
    structure = {"output_structure": "own-stream/Metadata_Well"}
    (record,) = cloud.work_off(job_message(output="whole", input="rules", **structure))
    assert cloud.keys("whole") == [f"whole/own-stream/A01/{name}" for name in OUTPUTS]
    assert counted(cloud, "whole/own-stream/A01/") == truth("A01")
    sizes = [len(cloud.text(key).encode()) for key in cloud.keys("whole")]
    assert (record["files"], record["bytes"]) == (3, sum(sizes))
    assert (record["status"], record["attempt"]) == ("succeeded", 1)
    assert record["seconds"]["cellprofiler"] > 0
    assert record["peak_memory_mb"] > 50

    def ended() -> bool:
        return any("End: succeeded" in line for line in cloud.log_lines("own-stream/A01"))

    wait_for(ended, "the job's log")
    lines = cloud.log_lines("own-stream/A01")
    assert any("cellprofiler -c" in line for line in lines)
    assert any("module IdentifyPrimaryObjects" in line for line in lines)
    assert [line for line in either.lines() if line["job_id"] == record["job_id"]] == [record]


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
            # As saved by a spreadsheet: a byte order mark and CRLF, the rows unsorted.
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


def test_numbers_as_cellprofiler_writes_them(either: Container) -> None:
    cloud = either.cloud
    sites = {"padded": ("001", "002"), "decimal": ("1", "2.50")}
    for kind, names in sites.items():
        rows = plate.load_data_rows()[:2]
        for row, name in zip(rows, names):
            row["Metadata_Site"] = name
        cloud.put({f"numbers/{kind}.csv": plate.load_data(rows).encode()})
    cloud.put({"numbers/site.cppipe": plate.pipeline(tags="Site").encode()})
    groups = {"padded": ("2", "002"), "decimal": ("1.0", "1")}
    bodies = [
        job_message(
            Metadata={"Metadata_Site": value},
            output_structure="Metadata_Site",
            pipeline="numbers/site.cppipe",
            data_file=f"numbers/{kind}.csv",
            output=f"numbers/{kind}",
        )
        for kind, values in groups.items()
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
    objects = cloud.s3.list_objects_v2(Bucket=buckets["destination"])["Contents"]
    assert f"{plate.OUTPUT_KEY}/P1/A01/Image.csv" in [item["Key"] for item in objects]
    (record,) = cloud.records("succeeded")
    assert record["Metadata"] == A01


def test_a_job_delivered_twice_is_done_once(standing: Container) -> None:
    cloud = standing.cloud
    (record,) = cloud.work_off(job_message(output="twice"))
    cloud.send(job_message(output="twice"))

    def statuses() -> list[str]:
        return [line["status"] for line in standing.lines() if line["job_id"] == record["job_id"]]

    wait_for(lambda: len(statuses()) == 2 and cloud.empty(), "the second delivery to end")
    assert statuses() == ["succeeded", "repeated"]
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
