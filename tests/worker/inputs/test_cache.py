"""The machine's cache: filled once, shared by slots, limited, and intact after any kill."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest
from dcp_worker.common.cancellation import InterruptedJobError, Interruption
from dcp_worker.inputs.cache import Cache


def go_on() -> None:
    """A check that does not interrupt."""


def writing(text: str, calls: list[str] | None = None) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        if calls is not None:
            calls.append(text)
        (folder / "file").write_text(text)

    return fill


def never(folder: Path) -> None:
    raise AssertionError("the content is already in the cache")


def use(cache: Cache, name: str, text: str) -> str:
    with cache.entry([name], writing(text), go_on) as entry:
        return (entry / "content" / "file").read_text()


def cached(folder: Path) -> set[str]:
    """The texts of all complete entries."""
    return {path.read_text() for path in folder.glob("*/content/file")}


def test_content_is_made_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=1000)
    assert use(cache, "a", "first") == "first"
    with Cache(tmp_path, limit=1000).entry(["a"], never, go_on) as entry:
        assert (entry / "content" / "file").read_text() == "first"
    assert use(cache, "b", "second") == "second"


def test_parts_of_an_identity_are_kept_apart(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=1000)
    for identity in (["a", "bc"], ["ab", "c"], ["abc"]):
        with cache.entry(identity, writing(str(identity)), go_on) as entry:
            assert (entry / "content" / "file").read_text() == str(identity)


def test_slots_wait_for_the_one_that_creates_the_same_entry(tmp_path: Path) -> None:
    calls: list[str] = []
    begun, may_end = threading.Event(), threading.Event()

    def slowly(folder: Path) -> None:
        begun.set()
        assert may_end.wait(600)
        writing("whole", calls)(folder)

    def read() -> str:
        with Cache(tmp_path, limit=1000).entry(["a"], slowly, go_on) as entry:
            return (entry / "content" / "file").read_text()

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        assert begun.wait(600)
        may_end.set()
        assert [reader.result(600) for reader in readers] == ["whole"] * 4
    assert calls == ["whole"]


def test_who_waits_for_another_slot_can_be_interrupted(tmp_path: Path) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slowly(folder: Path) -> None:
        begun.set()
        assert may_end.wait(600)

    def interrupted() -> None:
        raise InterruptedJobError(Interruption.STOPPING)

    with ThreadPoolExecutor(1) as pool:

        def make() -> None:
            with Cache(tmp_path, limit=1000).entry(["a"], slowly, go_on):
                pass

        maker = pool.submit(make)
        assert begun.wait(600)
        waiting = Cache(tmp_path, limit=1000).entry(["a"], never, interrupted)
        with pytest.raises(InterruptedJobError):
            waiting.__enter__()
        may_end.set()
        maker.result(600)


def test_what_failed_is_made_again_and_leaves_nothing(tmp_path: Path) -> None:
    def failing(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    cache = Cache(tmp_path, limit=1000)
    with pytest.raises(OSError, match="No space"), cache.entry(["a"], failing, go_on):
        raise AssertionError("the entry has no content")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert use(cache, "a", "whole") == "whole"


def test_a_slot_killed_while_it_makes_content_is_forgotten(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from dcp_worker.inputs.cache import Cache
def fill(folder):
    (folder / "file").write_text("half")
    (folder / "file.tmp").write_text("x" * 100)
    print("begun", flush=True)
    time.sleep(600)
with Cache(Path(sys.argv[1]), limit=1000).entry(["a"], fill, lambda: None):
    pass
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as slot:
        assert slot.stdout is not None
        assert slot.stdout.readline() == b"begun\n"
        slot.send_signal(signal.SIGKILL)
    assert use(Cache(tmp_path, limit=1000), "a", "whole") == "whole"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file"]


def used_in_turn(cache: Cache, folder: Path, *names: str) -> None:
    """Use entries of 10 bytes, each at a later time than the previous one."""
    for at, name in enumerate(names):
        use(cache, name, name * 10)
        (newest,) = [path for path in folder.glob("*/content/file") if name in path.read_text()]
        os.utime(newest.parents[1], (at, at))


def test_the_least_recently_used_entry_is_removed_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=35)
    used_in_turn(cache, tmp_path, "a", "b", "c", "a")
    use(cache, "d", "d" * 10)
    assert cached(tmp_path) == {"a" * 10, "c" * 10, "d" * 10}


def test_files_derived_from_a_content_count_and_are_removed_with_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=35)
    with cache.entry(["a"], writing("a" * 10), go_on) as entry:
        (entry / "index").mkdir()
        (entry / "index" / "rows").write_bytes(b"\0" * 20)
    os.utime(entry, (0, 0))
    use(cache, "b", "b" * 10)
    assert cached(tmp_path) == {"b" * 10}
    assert list(tmp_path.rglob("rows")) == []


def test_what_is_in_use_stays_and_a_linked_file_outlives_its_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", limit=5)
    linked = tmp_path / "linked"
    with cache.entry(["a"], writing("a" * 10), go_on) as entry:
        use(cache, "b", "b" * 10)
        assert cached(tmp_path / "cache") == {"a" * 10}
        os.link(entry / "content" / "file", linked)
    assert cached(tmp_path / "cache") == set()
    assert linked.read_text() == "a" * 10


def test_slots_at_the_bound_never_see_a_wrong_or_half_content(tmp_path: Path) -> None:
    """Threads lock like processes, because each opens the folder itself."""

    def slot(seed: int) -> None:
        cache, chance = Cache(tmp_path, limit=2_500), random.Random(seed)
        for _ in range(150):
            name = str(chance.randrange(6))
            with cache.entry([name], writing(name * 1000), go_on) as entry:
                assert (entry / "content" / "file").read_text() == name * 1000

    with ThreadPoolExecutor(4) as pool:
        for ended in [pool.submit(slot, seed) for seed in range(4)]:
            ended.result(600)
    assert sum(path.stat().st_size for path in tmp_path.rglob("file")) <= 2_500


def test_a_folder_that_is_removed_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, folders = Path.mkdir, []

    def exists_at_first(path: Path, *args: Any, **kwargs: Any) -> None:
        folders.append(path)
        if len(folders) == 1:
            raise FileExistsError(path)  # it existed a moment ago
        mkdir(path, *args, **kwargs)

    cache = Cache(tmp_path, limit=2_500)
    monkeypatch.setattr(Path, "mkdir", exists_at_first)
    with cache.entry(["name"], writing("a"), go_on) as entry:
        assert (entry / "content" / "file").read_text() == "a"
    assert len(folders) > 1


def test_killed_slots_leave_the_cache_sound(tmp_path: Path) -> None:
    program = """
import random, sys
from pathlib import Path
from dcp_worker.inputs.cache import Cache
cache = Cache(Path(sys.argv[1]), limit=250_000)
while True:
    print("next", flush=True)
    name = str(random.randrange(6))
    def fill(folder):
        for part in "ab":
            (folder / part).write_text(name * 50_000)
    with cache.entry([name], fill, lambda: None) as entry:
        parts = [path.read_text() for path in sorted((entry / "content").iterdir())]
        assert parts == [name * 50_000] * 2
"""
    for uses in range(1, 20, 2):
        command = [sys.executable, "-c", program, str(tmp_path)]
        slots = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for slot in slots:
            assert slot.stdout is not None
            assert [slot.stdout.readline() for _ in range(uses)] == [b"next\n"] * uses
        for slot in slots:
            assert slot.poll() is None  # a failed assertion would have ended it
            slot.kill()
            slot.communicate()
    for content in tmp_path.glob("*/content"):
        first, second = content.iterdir()
        assert first.read_text() == second.read_text() != ""
