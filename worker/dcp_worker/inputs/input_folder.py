"""CellProfiler's default input folder: a copy of the job's `input` prefix in S3."""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import TYPE_CHECKING

from dcp_worker.common import s3_transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from dcp_worker.common.cancellation import Check
    from dcp_worker.common.s3_transfer import StoredObject
    from dcp_worker.inputs.sources import Sources

# A larger prefix holds images that the CSV names one by one, not files of a pipeline.
INPUT_OBJECTS = 1000
INPUT_BYTES = 2**30


def fetch(
    prefix: str,
    sources: Sources,
    folder: Path,
    check: Check,
    say: Callable[[str], None],
) -> None:
    """Download the objects below the job's `input`, from the first bucket that has any."""
    prefix = "".join(f"{part}/" for part in prefix.split("/") if part)
    if not prefix:
        return
    for bucket in dict.fromkeys((sources.workspace, sources.source)):
        listed = s3_transfer.listing(bucket, prefix, INPUT_OBJECTS + 1)
        # Consoles create an object whose key ends in / for an empty folder.
        objects = [stored for stored in listed if not stored.key.endswith("/")]
        if not objects:
            continue
        if len(objects) > INPUT_OBJECTS or sum(stored.size for stored in objects) > INPUT_BYTES:
            say(
                f"s3://{bucket.name}/{prefix} holds more than {INPUT_OBJECTS} objects or 1 GB: the "
                "default input folder stays empty."
            )
            return
        identity = [bucket.name, prefix, *(part for at in objects for part in (at.key, at.etag))]
        fill = partial(_fill, objects, prefix, check)
        with sources.cache.entry(identity, fill, check) as entry:
            # Copied, not linked: a pipeline may overwrite these files.
            shutil.copytree(entry / "content", folder, dirs_exist_ok=True)
        return


def _fill(objects: Sequence[StoredObject], prefix: str, check: Check, folder: Path) -> None:
    files = {
        # normpath keeps a key with .. in it below the folder.
        f"{folder}{os.path.normpath('/' + stored.key[len(prefix) :])}": stored
        for stored in objects
    }
    s3_transfer.download("input", files, check)
