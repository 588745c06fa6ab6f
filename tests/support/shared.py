"""What all processes of a test session share; pytest-xdist runs several."""

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
    """Something of which there is one in a session, for the time of the `with` block.

    The first process to come starts it, and ends it when its own tests and those of all others are
    over: not before its fixtures have ended, since two processes that each waited for the other in
    a fixture would wait for ever.

    Args:
        request: Of the fixture.
        name: What it is called, in the session.
        start: Starts it, in a folder; what it yields must be fit for pickle.
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
