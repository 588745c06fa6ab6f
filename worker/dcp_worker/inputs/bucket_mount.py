"""The bucket of the images as a folder, when the settings ask for that instead of downloads.

What the machine has mounted for the container is used as it is; otherwise the image's own
Mountpoint for Amazon S3 mounts the bucket, which needs FUSE (`/dev/fuse`, the capability
SYS_ADMIN: the task definition gives both) and the right `s3:ListBucket`.
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
    """The bucket cannot be read as a folder, as the settings ask for."""


def prepare(settings: Settings, folder: Path = Path(MOUNT)) -> None:
    """See to it that the bucket of the images is mounted, if it is to be; once, before any job.

    Raises:
        MountError: Nothing is mounted, and it cannot be.
    """
    if settings.download_files:
        return
    if _in_use(folder):
        log.info("The images are read from what is mounted at %s.", folder)
        return
    program = shutil.which(_PROGRAM)
    if program is None:
        raise MountError(
            f"DOWNLOAD_FILES is 'False', but nothing is mounted at {folder} and the image has no "
            f"{_PROGRAM}. Set download_files to true, or use an image made with worker/Dockerfile."
        )
    folder.mkdir(parents=True, exist_ok=True)
    _mount(command(program, settings, folder))
    if not os.path.ismount(folder):
        raise MountError(f"{_PROGRAM} reports success, but nothing is mounted at {folder}.")
    log.info("The bucket %s is mounted at %s.", settings.source_bucket, folder)


def _in_use(folder: Path) -> bool:
    """Whether something is mounted there, or whoever runs the container has put files there."""
    return os.path.ismount(folder) or (folder.is_dir() and any(folder.iterdir()))


def command(program: str, settings: Settings, folder: Path) -> list[str]:
    """The call of Mountpoint: read-only, the whole bucket."""
    no_sign_request = ["--no-sign-request"] if settings.no_sign_request else []
    return [program, "--read-only", *no_sign_request, settings.source_bucket, str(folder)]


def _mount(words: list[str]) -> None:
    """Run Mountpoint, which goes to the background when the bucket is mounted."""
    # With AWS_REGION it would not look for the bucket's region, which may be another than the
    # run's ("Region detection", Configuring Mountpoint for Amazon S3).
    environment = {name: value for name, value in os.environ.items() if name != "AWS_REGION"}
    asked = shlex.join(words)
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
            f"DOWNLOAD_FILES is 'False', but {asked} cannot be run: {error}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise MountError(f"{asked} has not mounted the bucket within {_SECONDS} s.") from error
    if done.returncode:
        raise MountError(
            f"DOWNLOAD_FILES is 'False', but {asked} failed: {done.stderr.strip()}\n"
            "Mounting needs /dev/fuse and the capability SYS_ADMIN for the container, and "
            "s3:ListBucket and s3:GetObject on the bucket. Or set download_files to true."
        )
