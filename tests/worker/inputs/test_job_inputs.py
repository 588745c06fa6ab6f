"""A job's inputs: fetched to the machine, complete, and each only once."""

from __future__ import annotations

import io
import logging
import os
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import boto3
import pytest
from botocore.config import Config
from dcp_worker.cellprofiler.engine import Engine
from dcp_worker.common import s3_transfer
from dcp_worker.common.aws_clients import Clients
from dcp_worker.common.cancellation import InterruptedJobError, Interruption
from dcp_worker.common.s3_transfer import Bucket
from dcp_worker.common.settings import Settings
from dcp_worker.diagnosis.diagnose import Diagnosis, JobFailedError
from dcp_worker.inputs import images, input_folder, job_inputs
from dcp_worker.inputs.cache import Cache
from dcp_worker.inputs.job_inputs import JobInputs
from dcp_worker.inputs.sources import Sources
from dcp_worker.jobs import message
from dcp_worker.jobs.message import Job
from dcp_worker.jobs.queue import Queue
from dcp_worker.jobs.result_record import Measurements
from dcp_worker.load_data import local_paths
from dcp_worker.slot.attempt import Attempt
from dcp_worker.slot.context import SlotContext
from PIL import Image

import plate
from cloud import REGION, RUN, Cloud, job_message

GIB = 2**30


def go_on() -> None:
    """A check that does not interrupt."""


def job(**changes: Any) -> Job:
    return message.parse(job_message(**changes), RUN)


def sources_of(cloud: Cloud, tmp_path: Path, workspace: str = "", mounted: bool = False) -> Sources:
    source = Bucket(cloud.bucket, cloud.s3)
    other = Bucket(workspace, cloud.s3) if workspace else source
    return Sources(source, other, mounted, Cache(tmp_path / "cache"))


def fetch(sources: Sources, folder: Path, **changes: Any) -> JobInputs:
    parsed = job(**changes)
    versions = job_inputs.current_versions(parsed, sources)
    folder.mkdir()
    return job_inputs.fetch(parsed, sources, versions, folder, go_on, print)


def refused(sources: Sources, folder: Path, **changes: Any) -> Diagnosis:
    with pytest.raises(JobFailedError) as error:
        fetch(sources, folder, **changes)
    return error.value.diagnosis


def images_below(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.tif")}


@pytest.fixture
def calls(cloud: Cloud) -> Iterator[Counter[str]]:
    """Counts the requests to S3, as `operation key`."""
    counted: Counter[str] = Counter()

    def count(params: dict[str, Any], model: Any, **_: Any) -> None:
        key = params["url"].partition(f"{cloud.bucket}/")[2]
        counted[f"{model.name} {key}"] += 1

    cloud.s3.meta.events.register("before-call.s3", count)
    yield counted
    cloud.s3.meta.events.unregister("before-call.s3", count)


def test_pipeline_csv_and_images_are_brought(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_plate()
    fetched = fetch(sources_of(cloud, tmp_path), tmp_path / "job")
    assert fetched.pipeline.read_text() == plate.pipeline()
    assert images_below(tmp_path / "job") == {
        f"A01_s{site}.tif": plate.image(plate.nuclei("A01", site)) for site in plate.SITES
    }
    etags = [
        cloud.s3.head_object(Bucket=cloud.bucket, Key=key)["ETag"]
        for key in (plate.PIPELINE_KEY, plate.CSV_KEY)
    ]
    assert fetched.versions == job_inputs.InputVersions(*etags)


def test_no_object_is_requested_twice(cloud: Cloud, tmp_path: Path, calls: Counter[str]) -> None:
    cloud.put_plate()
    calls.clear()
    sources = sources_of(cloud, tmp_path)
    fetch(sources, tmp_path / "one")
    names = [plate.image_key("A01", site) for site in plate.SITES]
    assert {name: calls[f"HeadObject {name}"] for name in names} == dict.fromkeys(names, 1)
    calls.clear()
    fetch(sources, tmp_path / "other", Metadata="Metadata_Plate=P1,Metadata_Well=B02")
    both = (plate.PIPELINE_KEY, plate.CSV_KEY)
    # They are in the cache: only their ETags are requested, in case they were replaced.
    assert [calls[f"HeadObject {key}"] for key in both] == [1, 1]
    assert [calls[f"GetObject {key}"] for key in both] == [0, 0]
    assert calls[f"GetObject {plate.image_key('B02', '1')}"] == 1


def test_a_replaced_pipeline_is_downloaded_again(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_plate()
    sources = sources_of(cloud, tmp_path)
    fetch(sources, tmp_path / "one")
    cloud.put({plate.PIPELINE_KEY: plate.pipeline(image="ER").encode()})
    fetched = fetch(sources, tmp_path / "other")
    assert fetched.pipeline.read_text() == plate.pipeline(image="ER")


def test_slots_fetch_at_the_same_time(cloud: Cloud, tmp_path: Path, calls: Counter[str]) -> None:
    cloud.put_plate()
    calls.clear()
    wells = ["A01", "B02"] * 3

    def fetch_well(at: int) -> list[str]:
        group = f"Metadata_Plate=P1,Metadata_Well={wells[at]}"
        fetch(sources_of(cloud, tmp_path), tmp_path / f"job{at}", Metadata=group)
        return sorted(images_below(tmp_path / f"job{at}"))

    with ThreadPoolExecutor(len(wells)) as pool:
        names = list(pool.map(fetch_well, range(len(wells))))
    assert names == [[f"{well}_s{site}.tif" for site in plate.SITES] for well in wells]
    assert calls[f"GetObject {plate.CSV_KEY}"] == 1


def test_a_data_file_replaced_during_the_job_is_not_used(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_plate()
    sources = sources_of(cloud, tmp_path)
    versions = job_inputs.current_versions(job(), sources)
    cloud.put({plate.CSV_KEY: plate.load_data(plate.load_data_rows()[:1]).encode()})
    (tmp_path / "job").mkdir()
    with pytest.raises(JobFailedError) as error:
        job_inputs.fetch(job(), sources, versions, tmp_path / "job", go_on, print)
    assert (error.value.diagnosis.code, error.value.diagnosis.permanent) == (
        "input_replaced",
        False,
    )


@pytest.mark.parametrize("more", [0, 9])
def test_an_image_replaced_during_the_job_is_not_used(
    cloud: Cloud, tmp_path: Path, more: int
) -> None:
    """With an image of the same or a different size."""
    cloud.put_plate()
    key = plate.image_key("A01", "1")

    def replace(params: dict[str, Any], **_: Any) -> None:
        if params["url"].endswith(key):
            cloud.put({key: plate.image(7) + b"\0" * more})

    sources = sources_of(cloud, tmp_path)
    cloud.s3.meta.events.register("before-call.s3.GetObject", replace)
    diagnosis = refused(sources, tmp_path / "job")
    assert (diagnosis.code, diagnosis.permanent) == ("input_replaced", False)
    assert key in diagnosis.summary


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "has no bytes"),
        (plate.image(7)[:5_000], "is truncated"),
        (b"<Error>AccessDenied</Error>", "is not an image"),
    ],
)
def test_a_broken_image_is_detected_before_cellprofiler_reads_it(
    cloud: Cloud, tmp_path: Path, content: bytes, problem: str
) -> None:
    cloud.put_plate()
    key = plate.image_key("A01", "2")
    cloud.put({key: content})
    diagnosis = refused(sources_of(cloud, tmp_path), tmp_path / "job")
    assert (diagnosis.code, diagnosis.permanent) == ("image_broken", True)
    assert f"s3://{cloud.bucket}/{key} {problem}" in diagnosis.summary


def test_a_missing_image_is_named(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_plate()
    key = plate.image_key("A01", "2")
    cloud.s3.delete_object(Bucket=cloud.bucket, Key=key)
    diagnosis = refused(sources_of(cloud, tmp_path), tmp_path / "job")
    assert (diagnosis.code, diagnosis.permanent) == ("image_missing", True)
    assert key in diagnosis.summary


def test_the_images_of_other_groups_may_be_broken(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_plate()
    cloud.put({plate.image_key("B02", "1"): b""})
    fetch(sources_of(cloud, tmp_path), tmp_path / "job")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"pipeline": "gone.cppipe"}, "pipeline_missing"),
        ({"data_file": "gone.csv"}, "data_file_missing"),
        ({"pipeline": "gone.h5", "data_file": "gone.h5"}, "pipeline_missing"),
        ({"pipeline": "cut.cppipe"}, "pipeline_broken"),
        ({"Metadata": "Metadata_Plate=P1,Metadata_Well=Z99"}, "group_not_found"),
    ],
)
def test_what_cannot_be_had_is_permanent(
    cloud: Cloud, tmp_path: Path, changes: dict[str, str], code: str
) -> None:
    cloud.put_plate()
    text = plate.pipeline()
    cloud.put({"cut.cppipe": text[: text.index("ExportToSpreadsheet")].encode()})
    diagnosis = refused(sources_of(cloud, tmp_path), tmp_path / "job", **changes)
    assert (diagnosis.code, diagnosis.permanent) == (code, True)


def test_a_disk_without_room_takes_no_image(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: Counter[str]
) -> None:
    cloud.put_plate()
    needed = sum(len(plate.image(plate.nuclei("A01", site))) for site in plate.SITES)
    sources = sources_of(cloud, tmp_path)
    fetch(sources, tmp_path / "before")
    calls.clear()

    def usage(free: int) -> Callable[[str], Any]:
        return lambda path: SimpleNamespace(total=free, used=0, free=free)

    monkeypatch.setattr(s3_transfer.shutil, "disk_usage", usage(s3_transfer.RESERVE + needed - 1))
    diagnosis = refused(sources, tmp_path / "job")
    assert diagnosis.code == "disk_full"
    assert diagnosis.of_machine
    assert not diagnosis.permanent
    assert not [call for call in calls if call.startswith("GetObject")]
    monkeypatch.setattr(s3_transfer.shutil, "disk_usage", usage(s3_transfer.RESERVE + needed))
    fetch(sources, tmp_path / "after")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_up_meanwhile_is_the_machines_fault(
    cloud: Cloud, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.put_plate()
    large = io.BytesIO()
    Image.new("L", (3_000, 1_000)).save(large, "TIFF")
    cloud.put({plate.image_key("A01", "1"): large.getvalue()})
    monkeypatch.setattr(s3_transfer, "RESERVE", -GIB)
    source = Bucket(cloud.bucket, cloud.s3)
    sources = Sources(source, source, False, Cache(small_disk / "cache"))
    diagnosis = refused(sources, small_disk / "job")
    assert diagnosis.code == "disk_full"
    assert diagnosis.of_machine


def test_a_list_of_files(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_plate()
    keys = [plate.image_key("A01", "1"), plate.image_key("B02", "2")]
    cloud.put({"list.txt": f"{plate.ROOT}{keys[0]}\n{keys[1]}\nhttps://x.org/c.tif\n".encode()})
    fetched = fetch(sources_of(cloud, tmp_path), tmp_path / "job", data_file="list.txt")
    assert fetched.data_file is not None
    *local, url = fetched.data_file.read_text().split()
    assert [Path(path).name for path in local] == ["A01_s1.tif", "B02_s2.tif"]
    assert all(Path(path).exists() for path in local)
    assert url == "https://x.org/c.tif"
    cloud.put({keys[1]: b"not an image"})
    diagnosis = refused(sources_of(cloud, tmp_path), tmp_path / "again", data_file="list.txt")
    assert diagnosis.code == "image_broken"


def test_source_and_workspace_in_two_buckets_and_an_image_in_a_third(
    cloud: Cloud, tmp_path: Path
) -> None:
    content = plate.objects()
    workspace, third = f"{cloud.bucket}.work", f"{cloud.bucket}.third"
    for bucket in (workspace, third):
        cloud.s3.create_bucket(Bucket=bucket)
    rows = plate.load_data_rows()
    rows[1]["PathName_DNA"] = f"s3://{third}/deep"
    cloud.put({plate.image_key("A01", "1"): content[plate.image_key("A01", "1")]})
    cloud.s3.put_object(Bucket=third, Key="deep/A01_s2.tif", Body=plate.image(3))
    cloud.s3.put_object(Bucket=workspace, Key=plate.CSV_KEY, Body=plate.load_data(rows).encode())
    cloud.s3.put_object(Bucket=workspace, Key=plate.PIPELINE_KEY, Body=plate.pipeline().encode())
    fetch(sources_of(cloud, tmp_path, workspace), tmp_path / "job")
    assert images_below(tmp_path / "job")["A01_s2.tif"] == plate.image(3)


def signatures(clients: Clients) -> dict[str, bool]:
    """Bucket of each later request -> whether the request was signed."""
    signed: dict[str, bool] = {}

    def note(request: Any, **_: Any) -> None:
        bucket = request.url.partition("//")[2].split("/")[1]
        signed[bucket] = "Authorization" in request.headers

    for s3 in (clients.s3, clients.anonymous_s3):
        s3.meta.events.register("before-send.s3", note)
    return signed


def test_a_public_source_is_read_without_credentials(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_plate()
    for site in plate.SITES:
        key = plate.image_key("A01", site)
        cloud.s3.put_object_acl(Bucket=cloud.bucket, Key=key, ACL="public-read")
    workspace = f"{cloud.bucket}.work"
    cloud.s3.create_bucket(Bucket=workspace)
    for key in (plate.CSV_KEY, plate.PIPELINE_KEY):
        cloud.s3.put_object(Bucket=workspace, Key=key, Body=plate.objects()[key])
    environment = cloud.environment(NO_SIGN_REQUEST="True", WORKSPACE_BUCKET=workspace)
    clients = Clients.of(REGION)
    signed = signatures(clients)
    settings = Settings.from_environment(environment)
    sources = Sources.of(settings, clients, tmp_path / "cache", mounted=False)
    fetch(sources, tmp_path / "job")
    assert signed == {cloud.bucket: False, workspace: True}
    assert len(images_below(tmp_path / "job")) == len(plate.SITES)


def test_a_bucket_with_dots_uses_path_style_on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    clients = Clients.of(REGION)
    for s3 in (clients.s3, clients.anonymous_s3):
        url = s3.generate_presigned_url("get_object", {"Bucket": "my.plates", "Key": "a.tif"})
        assert url.partition("?")[0] == "https://s3.amazonaws.com/my.plates/a.tif"


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mount"
    plate.write_below(folder)
    for module in (images, local_paths):
        monkeypatch.setattr(module, "MOUNT", str(folder))
    return folder


def test_mounted_images_stay_where_they_are(
    cloud: Cloud, tmp_path: Path, mount: Path, calls: Counter[str]
) -> None:
    rows = plate.load_data_rows(root=f"{mount}/")
    rows[1]["PathName_DNA"] = f"s3://{cloud.bucket}/{plate.IMAGES_KEY}"
    cloud.put({plate.CSV_KEY: plate.load_data(rows).encode()})
    cloud.put({plate.PIPELINE_KEY: plate.pipeline().encode()})
    sources = sources_of(cloud, tmp_path, mounted=True)
    fetched = fetch(sources, tmp_path / "job")
    assert images_below(tmp_path / "job") == {}
    assert fetched.data_file is not None
    assert fetched.data_file.read_text().count(f"{mount}/{plate.IMAGES_KEY}") >= 2
    assert not [call for call in calls if call.endswith(".tif")]
    (mount / plate.image_key("A01", "1")).write_bytes(plate.image(3)[:100])
    assert refused(sources, tmp_path / "cut").code == "image_broken"
    (mount / plate.image_key("A01", "1")).unlink()
    assert refused(sources, tmp_path / "gone").code == "image_missing"


def test_a_mount_that_has_ended_is_the_machines_fault(
    cloud: Cloud, tmp_path: Path, mount: Path
) -> None:
    cloud.put({plate.CSV_KEY: plate.load_data(plate.load_data_rows(root=f"{mount}/")).encode()})
    cloud.put({plate.PIPELINE_KEY: plate.pipeline().encode()})
    sources = sources_of(cloud, tmp_path, mounted=True)
    image = mount / plate.image_key("A01", "1")
    image.unlink()
    image.symlink_to(image)  # a loop: unreadable, which does not prove that it is missing
    with pytest.raises(OSError, match="symbolic links"):
        fetch(sources, tmp_path / "unreadable")
    shutil.rmtree(mount)
    mount.mkdir()
    diagnosis = refused(sources, tmp_path / "gone")
    assert diagnosis.code == "machine_error"
    assert diagnosis.of_machine


@pytest.mark.e2e
@pytest.mark.parametrize("always_continue", ["False", "True"])
def test_a_mount_that_ends_while_cellprofiler_reads_is_the_machines_fault(
    cloud: Cloud, tmp_path: Path, mount: Path, always_continue: str
) -> None:
    cloud.put({plate.CSV_KEY: plate.load_data(plate.load_data_rows(root=f"{mount}/")).encode()})
    cloud.put({plate.PIPELINE_KEY: plate.pipeline().encode()})
    clients = Clients.of(REGION)
    context = SlotContext(
        settings=Settings.from_environment(cloud.environment(ALWAYS_CONTINUE=always_continue)),
        clients=clients,
        queue=Queue(clients.sqs, cloud.queue_url, cloud.dead_letter_url),
        sources=sources_of(cloud, tmp_path, mounted=True),
        engine=Engine(False, 0, logging.getLogger("test")),
        folder=tmp_path,
        plugins=None,
        instance_id="",
    )
    lines: list[str] = []
    attempt = Attempt(context, job(), tmp_path / "job", Measurements(), lines.append)
    fetched = attempt.prepare(job_inputs.current_versions(attempt.job, context.sources), go_on)
    shutil.rmtree(mount)
    mount.mkdir()
    with pytest.raises(JobFailedError) as error:
        attempt.compute(fetched, go_on)
    assert error.value.diagnosis.code == "machine_error"
    assert "Error detected during run of module LoadData" in lines


def test_images_of_a_bucket_that_is_not_mounted_are_downloaded(
    cloud: Cloud, tmp_path: Path, mount: Path
) -> None:
    third = f"{cloud.bucket}.third"
    cloud.s3.create_bucket(Bucket=third)
    cloud.s3.put_object(Bucket=third, Key="A01_s2.tif", Body=plate.image(5))
    rows = plate.load_data_rows(root=f"{mount}/")
    rows[1]["PathName_DNA"] = f"s3://{third}/"
    cloud.put({plate.CSV_KEY: plate.load_data(rows).encode()})
    cloud.put({plate.PIPELINE_KEY: plate.pipeline().encode()})
    fetch(sources_of(cloud, tmp_path, mounted=True), tmp_path / "job")
    assert images_below(tmp_path / "job") == {"A01_s2.tif": plate.image(5)}


@pytest.fixture
def silent() -> Iterator[Any]:
    """An S3 that accepts connections but never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 2})
        yield boto3.client(
            "s3",
            region_name=REGION,
            endpoint_url=address,
            config=config,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


def interrupted_at_third_check() -> Callable[[], None]:
    checks = iter(range(2))

    def check() -> None:
        if next(checks, None) is None:
            raise InterruptedJobError(Interruption.STOPPING)

    return check


def test_a_silent_s3_does_not_delay_an_interruption(tmp_path: Path, silent: Any) -> None:
    """The pending requests would end only after a minute."""
    bucket = Bucket("b", silent)
    stored = {str(tmp_path / "a.tif"): s3_transfer.StoredObject(bucket, "a.tif", 9, "etag")}
    ends: list[Callable[[], object]] = [
        lambda: s3_transfer.download("image", stored, interrupted_at_third_check()),
        lambda: s3_transfer.in_parallel(
            lambda key: s3_transfer.head(bucket, key, "image"), "ab", interrupted_at_third_check()
        ),
    ]
    with ThreadPoolExecutor(len(ends)) as pool:
        for ended in [pool.submit(end) for end in ends]:
            assert isinstance(ended.exception(timeout=600), InterruptedJobError)


def fetch_input(sources: Sources, folder: Path, prefix: str) -> list[str]:
    lines: list[str] = []
    input_folder.fetch(prefix, sources, folder, go_on, lines.append)
    return lines


def test_the_default_input_folder_is_what_lies_below_input(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put({"rules/a.txt": b"a", "rules/deep/b.txt": b"b", "rules2/c.txt": b"c", "rules/": b""})
    folder = tmp_path / "input"
    assert fetch_input(sources_of(cloud, tmp_path), folder, "/rules") == []
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")}
    assert names == {"a.txt", "deep/b.txt"}


def test_the_default_input_folder_is_read_once_and_each_job_has_its_own(
    cloud: Cloud, tmp_path: Path, calls: Counter[str]
) -> None:
    cloud.put({"rules/a.txt": b"a"})
    sources = sources_of(cloud, tmp_path)
    fetch_input(sources, tmp_path / "one", "rules")
    (tmp_path / "one" / "a.txt").write_text("a pipeline writes over it")
    fetch_input(sources, tmp_path / "two", "rules")
    assert (tmp_path / "two" / "a.txt").read_text() == "a"
    assert calls["GetObject rules/a.txt"] == 1
    cloud.put({"rules/a.txt": b"b"})
    fetch_input(sources, tmp_path / "three", "rules")
    assert (tmp_path / "three" / "a.txt").read_text() == "b"


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
    (line,) = fetch_input(sources_of(cloud, tmp_path), folder, "images")
    assert "stays empty" in line
    assert not folder.exists()
