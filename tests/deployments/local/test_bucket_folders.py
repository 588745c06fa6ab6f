"""Folders as buckets: copies both ways, and errors with the name of the file."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from blocks.errors import NotFound
from deployments.local.bucket_folders import empty_into, files_of, fill_bucket, make_bucket


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client(
            "s3", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
        )


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_a_folder_goes_through_a_bucket(s3: Any, tmp_path: Path) -> None:
    write(tmp_path / "in", "out/a b/1.csv", "out/ä.csv", "outside.csv")
    make_bucket(s3, "lab", "eu-west-1")
    make_bucket(s3, "lab", "eu-west-1")
    assert fill_bucket(s3, "lab", tmp_path / "in") == 3
    assert empty_into(s3, "lab", ["out/"], tmp_path / "back") == 2
    back = {key: path.read_text() for key, path in files_of(tmp_path / "back")}
    assert back == {"out/a b/1.csv": "out/a b/1.csv", "out/ä.csv": "out/ä.csv"}


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path / "store", "plate/1.tif")
    write(tmp_path / "data", "a/x.csv")
    (tmp_path / "data" / "images").symlink_to(tmp_path / "store")
    (tmp_path / "data" / "a" / "again").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "gone").symlink_to(tmp_path / "nowhere")
    assert sorted(key for key, _ in files_of(tmp_path / "data")) == [
        "a/x.csv",
        "images/plate/1.tif",
    ]


def test_a_name_that_is_no_valid_key_is_reported(tmp_path: Path) -> None:
    write(tmp_path, "fine.tif")
    (tmp_path / os.fsdecode(b"caf\xe9.tif")).write_text("")
    with pytest.raises(NotFound, match=r"caf.\.tif"):
        list(files_of(tmp_path))


def test_a_file_that_vanishes_while_it_is_read_is_reported(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bucket(s3, "lab", "eu-west-1")
    gone = tmp_path / "gone.tif"
    monkeypatch.setattr("deployments.local.bucket_folders.files_of", lambda _: iter([("k", gone)]))
    with pytest.raises(NotFound, match=r"gone\.tif"):
        fill_bucket(s3, "lab", tmp_path)
