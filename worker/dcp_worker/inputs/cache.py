"""Files of S3 kept on the machine by what they are, for all its slots; bounded in size.

Each entry is a folder, locked while it is used (flock: a slot that is killed lets go). It is
complete when it has a folder `content`, which is renamed into place when it is whole. Entries that
were not used for longest are removed when all together are larger than the bound.
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

# Of the disk, for the cache of a machine.
SHARE = 0.1
_LOOK_SECONDS = 0.05


class Cache:
    """The cache below a folder.

    Args:
        folder: Its own, shared by the slots of the machine.
        limit: Bytes; None: a tenth of the disk. What is in use stays, even beyond it.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = int(shutil.disk_usage(folder).total * SHARE) if limit is None else limit

    @contextmanager
    def entry(
        self, identity: Sequence[str], fill: Callable[[Path], None], check: Check
    ) -> Iterator[Path]:
        """The folder of an entry, held while the context lasts.

        Args:
            identity: What makes the content what it is, as bucket, key and ETag.
            fill: Puts the content into the empty folder that it is given. It is called when no
                slot of the machine has the content yet, by one slot at a time.
            check: Raises when the job is interrupted.

        Yields:
            A folder with `content` in it. What is made of the content may be kept beside it: it
            counts for the bound and goes with it.
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
                    _make(content, fill)
        self._trim()

    def _trim(self) -> None:
        """Remove the entries that were used longest ago until the rest is within the bound."""
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
    """Hold the lock of a folder that is there, and still is when the lock is had."""
    while True:
        # Not `exist_ok`: it looks again, and another slot may have removed the folder by then.
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
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _is(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _make(content: Path, fill: Callable[[Path], None]) -> None:
    for left in content.parent.glob("part-*"):  # by a slot that was killed
        shutil.rmtree(left, ignore_errors=True)
    part = content.with_name(f"part-{os.urandom(8).hex()}")
    part.mkdir()
    try:
        fill(part)
        part.rename(content)
    except BaseException:
        # A transfer that was given up may still be ending in it.
        shutil.rmtree(part, ignore_errors=True)
        raise


def _remove_unused(folder: Path) -> bool:
    """Remove an entry unless it is being used; whether it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Nobody may find half of it, even when this slot is killed here; the rest is then an
        # entry that nobody uses.
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
    """Bytes of all files below a folder, of which some may go away meanwhile."""
    total = 0
    for below, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(below, name)).st_size
    return total
