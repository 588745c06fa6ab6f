"""Inputs: everything that a job reads, on the machine, whole, and read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dcp_worker import input_folder, inputs, message
from dcp_worker.cache import Cache
from dcp_worker.inputs import Inputs
from dcp_worker.message import Job
from dcp_worker.sources import Sources
from dcp_worker.transfer import Bucket

import plate
from cloud import RUN, Cloud, job_message


def go_on() -> None:
    """Nothing interrupts."""


def job(**changes: Any) -> Job:
    return message.parse(job_message(**changes), RUN)


def sources_of(cloud: Cloud, tmp_path: Path, workspace: str = "", mounted: bool = False) -> Sources:
    source = Bucket(cloud.bucket, cloud.s3)
    other = Bucket(workspace, cloud.s3) if workspace else source
    return Sources(source, other, mounted, Cache(tmp_path / "cache"))


def fetch(sources: Sources, folder: Path, **changes: Any) -> Inputs:
    made = job(**changes)
    origin = inputs.origin(made, sources)
    folder.mkdir()
    return inputs.fetch(made, sources, origin, folder, go_on, print)


def test_pipeline_csv_and_images_are_brought(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_plate()
    found = fetch(sources_of(cloud, tmp_path), tmp_path / "job")
    assert found.pipeline.read_text() == plate.pipeline()
    below = (tmp_path / "job").rglob("*.tif")
    assert {path.name: path.read_bytes() for path in below} == {
        f"A01_s{site}.tif": plate.image(plate.nuclei("A01", site)) for site in plate.SITES
    }


def fetch_input(sources: Sources, folder: Path, prefix: str) -> list[str]:
    said: list[str] = []
    input_folder.fetch(prefix, sources, folder, go_on, said.append)
    return said


def test_the_default_input_folder_is_what_lies_below_input(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put({"rules/a.txt": b"a", "rules/deep/b.txt": b"b", "rules2/c.txt": b"c", "rules/": b""})
    folder = tmp_path / "input"
    assert fetch_input(sources_of(cloud, tmp_path), folder, "/rules") == []
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")}
    assert found == {"a.txt", "deep/b.txt"}


def test_the_empty_folder_of_a_console_hides_no_other_bucket(cloud: Cloud, tmp_path: Path) -> None:
    workspace = f"{cloud.bucket}.workspace"
    cloud.s3.create_bucket(Bucket=workspace)
    cloud.s3.put_object(Bucket=workspace, Key="rules/", Body=b"")
    cloud.put({"rules/a.txt": b"a"})
    fetch_input(sources_of(cloud, tmp_path, workspace), tmp_path / "input", "rules")
    assert [path.name for path in (tmp_path / "input").iterdir()] == ["a.txt"]


def test_an_input_folder_of_images_is_not_downloaded(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_folder, "INPUT_OBJECTS", 2)
    cloud.put({f"images/{number}.tif": b"x" for number in range(3)})
    folder = tmp_path / "input"
    (said,) = fetch_input(sources_of(cloud, tmp_path), folder, "images")
    assert "stays empty" in said
    assert not folder.exists()
