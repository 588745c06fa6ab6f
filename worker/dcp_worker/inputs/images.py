"""A job's images: checks that all exist and fit on the disk, downloads and verifies them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from dcp_worker.common import s3_transfer
from dcp_worker.diagnosis.diagnose import Diagnosis, JobFailedError
from dcp_worker.inputs import image_integrity
from dcp_worker.load_data.local_paths import MOUNT

if TYPE_CHECKING:
    from dcp_worker.common.cancellation import Check
    from dcp_worker.common.s3_transfer import StoredObject
    from dcp_worker.inputs.sources import Sources
    from dcp_worker.load_data.local_paths import S3Object


def fetch(
    images: Mapping[str, S3Object], sources: Sources, check: Check, say: Callable[[str], None]
) -> None:
    """Download images, unless they are mounted, and verify each of them.

    Args:
        images: Local path -> object.
        sources: The buckets.
        check: Raises when the job is interrupted.
        say: Writes a line to the job's log.

    Raises:
        JobFailedError: An image is missing or broken, or the disk is too small.
        OSError: The mount cannot be read.
    """
    mounted = {
        path: s3_object for path, s3_object in images.items() if path.startswith(f"{MOUNT}/")
    }
    _check_mounted(mounted)
    remote = {path: s3_object for path, s3_object in images.items() if path not in mounted}

    def head(s3_object: S3Object) -> StoredObject:
        return s3_transfer.head(sources.bucket(s3_object.bucket), s3_object.key, "image")

    stored = dict(zip(remote, s3_transfer.in_parallel(head, remote.values(), check)))
    s3_transfer.download("image", stored, check)
    problems = s3_transfer.in_parallel(image_integrity.problem, images, check)
    _check_sound([(s3_object, text) for s3_object, text in zip(images.values(), problems) if text])
    if stored:
        size = sum(image.size for image in stored.values())
        plural = "s" if len(stored) > 1 else ""
        say(f"Downloaded {len(stored)} image{plural}, {size / 1e6:.1f} MB.")


def check_mount() -> None:
    """Check that the bucket is still mounted: otherwise every image seems to be missing.

    Raises:
        JobFailedError: The bucket is no longer mounted (`machine_error`).
        OSError: The mount is no longer readable.
    """
    with os.scandir(MOUNT) as entries:
        if next(entries, None) is None:
            raise JobFailedError(
                Diagnosis(
                    "machine_error",
                    f"The mount at {MOUNT} has disappeared.",
                )
            )


def _check_mounted(images: Mapping[str, S3Object]) -> None:
    missing = [s3_object for path, s3_object in images.items() if not _exists(path)]
    if missing:
        check_mount()
        raise JobFailedError(
            Diagnosis(
                "image_missing",
                f"{len(missing)} of {len(images)} images missing; the first is {missing[0]}.",
            )
        )


def _exists(path: str) -> bool:
    """Unlike os.path.exists, raises for a file that exists but cannot be read."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _check_sound(broken: Sequence[tuple[S3Object, str]]) -> None:
    if broken:
        s3_object, problem = broken[0]
        count = len(broken) - 1
        more = f" ({count} more broken image{'s' if count > 1 else ''})" if count else ""
        raise JobFailedError(
            Diagnosis(
                "image_broken",
                f"The image {s3_object} {problem}{more}.",
            )
        )
