"""Outputs: what counts as done, and uploads that are confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcp_worker import outputs
from dcp_worker.diagnosis import JobFailedError
from dcp_worker.interruption import InterruptedJobError, Interruption
from dcp_worker.settings import SkipRule
from hypothesis import given
from hypothesis import strategies as st

from cloud import Cloud


def go_on() -> None:
    """Nothing interrupts."""


@given(
    st.lists(st.tuples(st.sampled_from(["Image.csv", "Nuclei.csv", "a.png"]), st.integers(0, 9))),
    st.integers(1, 4),
    st.integers(0, 9),
    st.sampled_from(["", "csv", "Image"]),
)
def test_a_job_is_done_when_enough_files_count(
    files: list[tuple[str, int]], number: int, size: int, part: str
) -> None:
    objects = [(f"out/Image-csv/{name}", found) for name, found in files]
    counted = sum(found >= size and part in name for name, found in files)
    assert outputs.satisfies(objects, SkipRule(number, size, part)) is (counted >= number)


def test_all_files_are_uploaded_under_their_relative_paths(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "Image.csv").write_text("ImageNumber\n1\n")
    (tmp_path / "masks" / "a b.png").write_bytes(b"\0" * 5_000)
    arguments = {"ContentType": "text/plain", "Metadata": {"plate": "P1"}}
    written = outputs.publish(cloud.s3, tmp_path, cloud.bucket, "out/P1/", arguments, go_on)
    assert written == outputs.Written({"Image.csv": 14, "masks/a b.png": 5_000})
    assert (written.files, written.bytes) == (2, 5_014)
    assert cloud.keys() == ["out/P1/Image.csv", "out/P1/masks/a b.png"]
    head = cloud.s3.head_object(Bucket=cloud.bucket, Key="out/P1/Image.csv")
    assert (head["ContentType"], head["Metadata"]) == ("text/plain", {"plate": "P1"})


def test_a_bucket_that_is_not_there_is_a_permanent_failure(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "Image.csv").write_text("1\n")
    with pytest.raises(JobFailedError) as error:
        outputs.publish(cloud.s3, tmp_path, f"{cloud.bucket}.gone", "out/", {}, go_on)
    assert error.value.diagnosis.code == "output_missing"
    assert error.value.diagnosis.permanent


def test_an_interrupted_upload_is_given_up(cloud: Cloud, tmp_path: Path) -> None:
    def interrupted() -> None:
        raise InterruptedJobError(Interruption.LEASE_LOST)

    (tmp_path / "large.bin").write_bytes(b"\0" * 30_000_000)
    with pytest.raises(InterruptedJobError):
        outputs.publish(cloud.s3, tmp_path, cloud.bucket, "out/", {}, interrupted)
    assert cloud.keys() == []
