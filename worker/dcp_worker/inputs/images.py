"""A job's images: all there, room for them, brought to the machine whole, and images indeed."""

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
    from dcp_worker.common.s3_transfer import Stored
    from dcp_worker.inputs.sources import Sources
    from dcp_worker.load_data.local_paths import S3Object


def fetch(
    images: Mapping[str, S3Object], sources: Sources, check: Check, say: Callable[[str], None]
) -> None:
    """Download images, unless they are mounted, and look at every one.

    Args:
        images: Local path -> object.
        sources: The buckets.
        check: Raises when the job is interrupted.
        say: Takes a line for the job's log.

    Raises:
        JobFailedError: An image is missing or broken, or the disk has no room.
        OSError: The mount cannot be read.
    """
    mounted = {path: place for path, place in images.items() if path.startswith(f"{MOUNT}/")}
    _check_mounted(mounted)
    wanted = {path: place for path, place in images.items() if path not in mounted}

    def look(place: S3Object) -> Stored:
        return s3_transfer.head(sources.bucket(place.bucket), place.key, "image")

    stored = dict(zip(wanted, s3_transfer.each(look, wanted.values(), check)))
    s3_transfer.download("image", stored, check)
    problems = s3_transfer.each(image_integrity.problem, images, check)
    _check_sound([(place, text) for place, text in zip(images.values(), problems) if text])
    if stored:
        size = sum(found.size for found in stored.values())
        say(f"Downloaded {len(stored)} images, {size / 1e6:.1f} MB.")


def check_mount() -> None:
    """See that the bucket is still mounted: without it every image seems to be missing.

    Raises:
        JobFailedError: It is not (`machine_error`).
        OSError: It cannot be read any more.
    """
    with os.scandir(MOUNT) as entries:
        if next(entries, None) is None:
            raise JobFailedError(
                Diagnosis(
                    "machine_error",
                    f"Nothing is mounted at {MOUNT} any more.",
                    "",
                    "It is tried again, on another machine if there is one.",
                )
            )


def _check_mounted(images: Mapping[str, S3Object]) -> None:
    missing = [place for path, place in images.items() if not _exists(path)]
    if missing:
        check_mount()
        raise JobFailedError(
            Diagnosis(
                "image_missing",
                f"{len(missing)} of {len(images)} images do not exist, the first is {missing[0]}.",
                "",
                "Correct the CSV, or copy the image there.",
            )
        )


def _exists(path: str) -> bool:
    """Not by os.path.exists: it takes a file that cannot be looked at for a missing one."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _check_sound(broken: Sequence[tuple[S3Object, str]]) -> None:
    if broken:
        place, problem = broken[0]
        more = f", and {len(broken) - 1} more images are broken" if len(broken) > 1 else ""
        raise JobFailedError(
            Diagnosis(
                "image_broken",
                f"The image {place} {problem}{more}.",
                "",
                "Copy it again from the microscope.",
            )
        )
