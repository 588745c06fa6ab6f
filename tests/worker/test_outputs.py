"""Outputs: what counts as done, and uploads that are confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcp_worker import inputs, outputs
from dcp_worker.diagnosis import JobFailedError
from dcp_worker.inputs import Sources
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
    assert written == outputs.Written(2, 5_014)
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


def fetch_input(cloud: Cloud, folder: Path, prefix: str) -> list[str]:
    said: list[str] = []
    sources = Sources(cloud.bucket, cloud.bucket, mounted=False)
    inputs.fetch_input(cloud.s3, prefix, sources, folder, go_on, said.append)
    return said


def test_the_default_input_folder_is_what_lies_below_input(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put({"rules/a.txt": b"a", "rules/deep/b.txt": b"b", "rules2/c.txt": b"c", "rules/": b""})
    assert fetch_input(cloud, tmp_path, "/rules") == []
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt")}
    assert found == {"a.txt", "deep/b.txt"}


def test_the_empty_folder_of_a_console_hides_no_other_bucket(cloud: Cloud, tmp_path: Path) -> None:
    workspace = f"{cloud.bucket}.workspace"
    cloud.s3.create_bucket(Bucket=workspace)
    cloud.s3.put_object(Bucket=workspace, Key="rules/", Body=b"")
    cloud.put({"rules/a.txt": b"a"})
    sources = Sources(cloud.bucket, workspace, mounted=False)
    inputs.fetch_input(cloud.s3, "rules", sources, tmp_path, go_on, print)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_input_folder_of_images_is_not_downloaded(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "INPUT_OBJECTS", 2)
    cloud.put({f"images/{number}.tif": b"x" for number in range(3)})
    (said,) = fetch_input(cloud, tmp_path, "images")
    assert "stays empty" in said
    assert list(tmp_path.iterdir()) == []
