"""The image bucket as a folder. A program with the same name stands in for Mountpoint."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from dcp_worker.common.settings import Settings
from dcp_worker.inputs import bucket_mount
from dcp_worker.inputs.bucket_mount import MountError

import task_definition


def settings(**changes: str) -> Settings:
    variables = {"DOWNLOAD_FILES": "False", "SOURCE_BUCKET": "images", **changes}
    return task_definition.settings(**variables)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, script: str) -> None:
    path = folder / "mount-s3"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_downloads_need_no_mount(programs: Path, tmp_path: Path) -> None:
    bucket_mount.prepare(settings(DOWNLOAD_FILES="True"), tmp_path / "bucket")
    assert not (tmp_path / "bucket").exists()


def test_what_the_machine_has_mounted_is_used(programs: Path, tmp_path: Path) -> None:
    program(programs, "exit 1")
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "plate1").mkdir()
    bucket_mount.prepare(settings(), tmp_path / "bucket")
    bucket_mount.prepare(settings(), Path("/proc"))


def test_without_mountpoint_the_error_has_a_remedy(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(MountError, match=r"mount-s3.*download_files"):
        bucket_mount.prepare(settings(), tmp_path / "bucket")


def test_mountpoint_mounts_the_images_bucket_read_only(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    notes, folder = tmp_path / "notes", tmp_path / "bucket"
    program(programs, f'echo "$@" > {notes}; echo "region:$AWS_REGION" >> {notes}')
    with pytest.raises(MountError, match="nothing is mounted"):
        bucket_mount.prepare(settings(), folder)  # the program reports success but mounts nothing
    assert notes.read_text().splitlines() == [f"--read-only images {folder}", "region:"]
    with pytest.raises(MountError, match="nothing is mounted"):
        bucket_mount.prepare(settings(NO_SIGN_REQUEST="True"), folder)
    assert notes.read_text().splitlines()[0] == f"--read-only --no-sign-request images {folder}"


def test_the_container_starts_once_the_bucket_is_mounted(programs: Path, tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "bucket"
    source.mkdir()
    folder.mkdir()
    mounting = ["/bin/mount", "-t", "tmpfs", "none"]
    if subprocess.run([*mounting, str(source)], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this user may not mount")
    try:
        program(programs, f"exec {' '.join(mounting)} {folder}")
        bucket_mount.prepare(settings(), folder)
        bucket_mount.prepare(settings(), folder)  # the second call uses the existing mount
        assert os.path.ismount(folder)
    finally:
        subprocess.run(["/bin/umount", str(source), str(folder)], check=True)


def test_an_error_of_mountpoint_is_reported_with_its_requirements(
    programs: Path, tmp_path: Path
) -> None:
    program(programs, "echo 'Error: Failed to create S3 client: no such bucket' >&2; exit 1")
    with pytest.raises(MountError, match=r"(?s)no such bucket.*SYS_ADMIN"):
        bucket_mount.prepare(settings(), tmp_path / "bucket")


def test_a_program_that_does_not_run_is_reported(programs: Path, tmp_path: Path) -> None:
    (programs / "mount-s3").write_bytes(b"\x7fELF broken")
    (programs / "mount-s3").chmod(0o755)
    with pytest.raises(MountError, match="could not be run"):
        bucket_mount.prepare(settings(), tmp_path / "bucket")


def test_a_container_that_cannot_mount_does_not_start(programs: Path, tmp_path: Path) -> None:
    output = task_definition.refused(tmp_path, DOWNLOAD_FILES="False")
    assert "DOWNLOAD_FILES is 'False'" in output
