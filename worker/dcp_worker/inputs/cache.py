"""A size-limited cache of S3 objects on the machine, keyed by content, shared by all its slots.

Each entry is a folder that a slot locks while it uses it (flock: the kernel releases the lock of a
killed slot). A complete entry has a folder `content`, which is renamed into place last. If the
cache exceeds its limit, the least recently used entries are removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dcp_worker.common.cancellation import Check

# Share of the disk for the machine's cache.
SHARE = 0.1
_POLL_SECONDS = 0.05


class Cache:
    """The cache below a folder.

    Args:
        folder: The cache's own folder, shared by the slots of the machine.
        limit: Bytes; None: a tenth of the disk. Entries in use stay, even beyond the limit.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = int(shutil.disk_usage(folder).total * SHARE) if limit is None else limit

    @contextmanager
    def entry(
        self, identity: Sequence[str], fill: Callable[[Path], None], check: Check
    ) -> Iterator[Path]:
        """The folder of an entry, locked while the context lasts.

        Args:
            identity: Identifies the content, for example by bucket, key and ETag.
            fill: Writes the content into an empty folder. Called only if the machine does not have
                the content yet, by one slot at a time.
            check: Raises when the job is interrupted.

        Yields:
            A folder that contains `content`. Callers may store derived files beside `content`: they
            count towards the limit and are removed with the entry.
        """
        folder = self._folder / hashlib.sha256("\0".join(identity).encode()).hexdigest()[:32]
        content = folder / "content"
        while True:
            with _locked(folder, fcntl.LOCK_SH, check):
                if content.exists():
                    os.utime(folder)
                    yield folder
                    break
            with _locked(folder, fcntl.LOCK_EX, check):
                if not content.exists():
                    _create(content, fill)
        self._trim()

    def _trim(self) -> None:
        """Remove the least recently used entries until the rest is within the limit."""
        entries = []
        for folder in self._folder.iterdir():
            with suppress(FileNotFoundError):
                entries.append((folder.stat().st_mtime, folder, _size(folder)))
        total = sum(size for _, _, size in entries)
        for _, folder, size in sorted(entries):
            if total <= self._limit:
                break
            if _remove_unused(folder):
                total -= size


@contextmanager
def _locked(folder: Path, kind: int, check: Check) -> Iterator[None]:
    """Create a folder if necessary and hold its lock; the folder still exists once it is locked."""
    while True:
        # Not `exist_ok`: it checks again, and another slot may have removed the folder by then.
        with suppress(FileExistsError):
            folder.mkdir()
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # another slot has just removed it
        try:
            _lock(descriptor, kind, check)
            if _is(descriptor, folder):
                yield
                return
        finally:
            os.close(descriptor)


def _lock(descriptor: int, kind: int, check: Check) -> None:
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            check()
            time.sleep(_POLL_SECONDS)
        else:
            return


def _is(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _create(content: Path, fill: Callable[[Path], None]) -> None:
    for rest in content.parent.glob("part-*"):  # left by a slot that was killed
        shutil.rmtree(rest, ignore_errors=True)
    part = content.with_name(f"part-{os.urandom(8).hex()}")
    part.mkdir()
    try:
        fill(part)
        part.rename(content)
    except BaseException:
        # An aborted transfer may still be writing to it.
        shutil.rmtree(part, ignore_errors=True)
        raise


def _remove_unused(folder: Path) -> bool:
    """Remove an entry unless it is in use; returns whether it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Nobody may find a partial entry, even if this slot is killed here. The rest is then an
        # unused entry.
        gone = folder.with_name(f"gone-{os.urandom(8).hex()}")
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    else:
        return True
    finally:
        os.close(descriptor)


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; files may disappear meanwhile."""
    total = 0
    for below, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(below, name)).st_size
    return total
