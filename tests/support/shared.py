"""Objects that all processes of a test session share; pytest-xdist runs several."""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


@contextmanager
def shared(
    request: pytest.FixtureRequest, name: str, start: Callable[[Path], AbstractContextManager[T]]
) -> Iterator[T]:
    """An object that exists once per session, for the duration of the `with` block.

    The first process starts it, and stops it after its own tests and those of all others. It does
    so after the end of its fixtures: two processes that waited for each other in a fixture would
    wait forever.

    Args:
        request: The fixture's request.
        name: Its name in the session.
        start: Starts it in a folder; the object that it yields must be picklable.
    """
    folder = _session_folder(request) / name
    folder.mkdir(exist_ok=True)
    known = folder / "shared.pickle"
    with (folder / "used.lock").open("w") as used:
        fcntl.flock(used, fcntl.LOCK_SH)
        with (folder / "starting.lock").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if not known.exists():
                running = ExitStack()
                known.write_bytes(pickle.dumps(running.enter_context(start(folder))))
                request.config.add_cleanup(lambda: _end(folder, running))
        yield pickle.loads(known.read_bytes())


def _end(folder: Path, running: ExitStack) -> None:
    with (folder / "used.lock").open("w") as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        (folder / "shared.pickle").unlink()
        running.close()


def _session_folder(request: pytest.FixtureRequest) -> Path:
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    mine = factory.getbasetemp()
    return mine.parent if hasattr(request.config, "workerinput") else mine
