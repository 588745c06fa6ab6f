"""The image bucket as a folder, for settings without downloads.

If the machine has mounted the bucket for the container, the worker uses that mount. Otherwise
Mountpoint for Amazon S3 mounts it inside the container. That needs the right `s3:ListBucket` and
FUSE (`/dev/fuse` and the capability SYS_ADMIN; the task definition grants both).
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from dcp_worker.load_data.local_paths import MOUNT

if TYPE_CHECKING:
    from dcp_worker.common.settings import Settings

log = logging.getLogger(__name__)

_PROGRAM = "mount-s3"
_SECONDS = 60


class MountError(Exception):
    """The settings require a mounted bucket, but the bucket cannot be read as a folder."""


def prepare(settings: Settings, folder: Path = Path(MOUNT)) -> None:
    """Mount the image bucket if the settings require it; once, before the first job.

    Raises:
        MountError: The bucket is not mounted and could not be mounted.
    """
    if settings.download_files:
        return
    if _in_use(folder):
        log.info("Reading images from the existing mount at %s.", folder)
        return
    program = shutil.which(_PROGRAM)
    if program is None:
        raise MountError(
            f"DOWNLOAD_FILES is 'False', but nothing is mounted at {folder} and the image has no "
            f"{_PROGRAM}. Set download_files to true, or use an image built from worker/Dockerfile."
        )
    folder.mkdir(parents=True, exist_ok=True)
    _mount(mount_command(program, settings, folder))
    if not os.path.ismount(folder):
        raise MountError(f"{_PROGRAM} reports success, but nothing is mounted at {folder}.")
    log.info("Mounted the bucket %s at %s.", settings.source_bucket, folder)


def _in_use(folder: Path) -> bool:
    """Whether the folder is a mount, or the operator of the container has put files there."""
    return os.path.ismount(folder) or (folder.is_dir() and any(folder.iterdir()))


def mount_command(program: str, settings: Settings, folder: Path) -> list[str]:
    """The command that mounts the whole bucket read-only."""
    no_sign_request = ["--no-sign-request"] if settings.no_sign_request else []
    return [program, "--read-only", *no_sign_request, settings.source_bucket, str(folder)]


def _mount(words: list[str]) -> None:
    """Run Mountpoint, which moves to the background once the bucket is mounted."""
    # With AWS_REGION, Mountpoint would not detect the bucket's region, which may differ from the
    # run's ("Region detection", Configuring Mountpoint for Amazon S3).
    environment = {name: value for name, value in os.environ.items() if name != "AWS_REGION"}
    text = shlex.join(words)
    try:
        done = subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except OSError as error:
        raise MountError(
            f"DOWNLOAD_FILES is 'False', but {text} could not be run: {error}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise MountError(f"{text} did not mount the bucket within {_SECONDS} s.") from error
    if done.returncode:
        raise MountError(
            f"DOWNLOAD_FILES is 'False', but {text} failed: {done.stderr.strip()}\n"
            "Mounting needs /dev/fuse and the capability SYS_ADMIN for the container, and "
            "s3:ListBucket and s3:GetObject on the bucket. Or set download_files to true."
        )
