"""Outputs: confirmed uploads, and when existing files count as done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dcp_worker.common import s3_transfer
from dcp_worker.common.cancellation import InterruptedJobError, Interruption
from dcp_worker.diagnosis.diagnose import JobFailedError
from dcp_worker.outputs import upload
from hypothesis import given
from hypothesis import strategies as st

from cloud import Cloud
from task_definition import settings


def go_on() -> None:
    """A check that does not interrupt."""


@given(
    st.lists(st.tuples(st.sampled_from(["Image.csv", "Nuclei.csv", "a.png"]), st.integers(0, 9))),
    st.integers(1, 4),
    st.integers(0, 9),
    st.sampled_from(["", "csv", "Image"]),
)
def test_a_job_is_done_when_enough_files_count(
    files: list[tuple[str, int]], number: int, size: int, part: str
) -> None:
    objects = [(f"out/Image-csv/{name}", length) for name, length in files]
    counted = sum(length >= size and part in name for name, length in files)
    rule = settings(
        EXPECTED_NUMBER_FILES=str(number), MIN_FILE_SIZE_BYTES=str(size), NECESSARY_STRING=part
    )
    assert upload.enough_files(objects, rule) is (counted >= number)


def test_all_files_are_uploaded_under_their_relative_paths(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "Image.csv").write_text("ImageNumber\n1\n")
    (tmp_path / "masks" / "a b.png").write_bytes(b"\0" * 5_000)
    arguments = {"ContentType": "text/plain", "Metadata": {"plate": "P1"}}
    written = upload.publish(cloud.s3, tmp_path, cloud.bucket, "out/P1/", arguments, go_on)
    assert written == upload.UploadedFiles({"Image.csv": 14, "masks/a b.png": 5_000})
    assert (written.files, written.bytes) == (2, 5_014)
    assert cloud.keys() == ["out/P1/Image.csv", "out/P1/masks/a b.png"]
    head = cloud.s3.head_object(Bucket=cloud.bucket, Key="out/P1/Image.csv")
    assert (head["ContentType"], head["Metadata"]) == ("text/plain", {"plate": "P1"})


def test_a_missing_bucket_is_a_permanent_failure(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "Image.csv").write_text("1\n")
    with pytest.raises(JobFailedError) as error:
        upload.publish(cloud.s3, tmp_path, f"{cloud.bucket}.gone", "out/", {}, go_on)
    assert error.value.diagnosis.code == "bucket_missing"
    assert error.value.diagnosis.permanent


def test_an_interrupted_upload_is_aborted(cloud: Cloud, tmp_path: Path) -> None:
    def interrupted() -> None:
        raise InterruptedJobError(Interruption.LEASE_LOST)

    (tmp_path / "large.bin").write_bytes(b"\0" * 30_000_000)
    with pytest.raises(InterruptedJobError):
        upload.publish(cloud.s3, tmp_path, cloud.bucket, "out/", {}, interrupted)
    assert cloud.keys() == []


def test_an_output_that_arrived_short_is_no_success(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "Image.csv").write_text("ImageNumber\n1\n")

    def shorten(**_: object) -> None:
        cloud.put({"out/Image.csv": b"Image"})

    cloud.s3.meta.events.register("before-call.s3.HeadObject", shorten)
    with pytest.raises(JobFailedError) as error:
        upload.publish(cloud.s3, tmp_path, cloud.bucket, "out/", {}, go_on)
    assert error.value.diagnosis.code == "upload_incomplete"
    assert not error.value.diagnosis.permanent


def test_many_and_large_outputs(cloud: Cloud, tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / f"{number:03}.csv").write_text(str(number))
    (tmp_path / "large.bin").write_bytes(os.urandom(20_000_000))  # in parts
    (tmp_path / "empty.csv").touch()
    written = upload.publish(cloud.s3, tmp_path, cloud.bucket, "out/", {}, go_on)
    assert written.files == 122
    assert written.sizes["large.bin"] == 20_000_000
    stored = s3_transfer.head(s3_transfer.Bucket(cloud.bucket, cloud.s3), "out/large.bin", "output")
    s3_transfer.download("output", {str(tmp_path / "back.bin"): stored}, go_on)
    assert (tmp_path / "back.bin").read_bytes() == (tmp_path / "large.bin").read_bytes()
    assert len(cloud.keys("out/")) == 122


def test_upload_options_reach_every_object(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n")
    (tmp_path / "large.bin").write_bytes(b"\0" * 10_000_000)
    arguments = {
        "StorageClass": "STANDARD_IA",
        "ServerSideEncryption": "AES256",
        "Tagging": "plate=P1&kind=output",
        "CacheControl": "no-store",
        "ACL": "bucket-owner-full-control",
    }
    upload.publish(cloud.s3, tmp_path, cloud.bucket, "out/", arguments, go_on)
    for key in ("out/a.csv", "out/large.bin"):
        head = cloud.s3.head_object(Bucket=cloud.bucket, Key=key)
        assert (head["StorageClass"], head["ServerSideEncryption"], head["CacheControl"]) == (
            "STANDARD_IA",
            "AES256",
            "no-store",
        )
        tags = cloud.s3.get_object_tagging(Bucket=cloud.bucket, Key=key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"plate": "P1", "kind": "output"}
