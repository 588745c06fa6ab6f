"""A new Prefect server: its database is copied from the first one, its port can be reused."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deployments.local.prefect_server import (
    DATABASE,
    HOST,
    cache_new_database,
    copy_cached_database,
    free_port,
    new_database,
)


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "caches"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def server_home(folder: Path, content: str = "") -> Path:
    folder.mkdir()
    if content:
        with closing(sqlite3.connect(folder / DATABASE)) as database:
            database.execute("create table made (content)")
            database.execute("insert into made values (?)", [content])
            database.commit()
    return folder


def content_of(home: Path) -> str:
    with closing(sqlite3.connect(home / DATABASE)) as database:
        return str(database.execute("select content from made").fetchone()[0])


def test_a_server_starts_with_the_initial_database_of_the_first_one(tmp_path: Path) -> None:
    first, second = server_home(tmp_path / "1", "first"), server_home(tmp_path / "2")
    copy_cached_database(second)
    assert not list(second.iterdir()), "no server has been started before"
    cache_new_database(first)
    copy_cached_database(second)
    assert content_of(second) == "first"


def test_a_server_keeps_the_database_that_it_has(tmp_path: Path) -> None:
    first, second = server_home(tmp_path / "1", "first"), server_home(tmp_path / "2", "second")
    cache_new_database(first)
    cache_new_database(second)
    copy_cached_database(second)
    third = server_home(tmp_path / "3")
    copy_cached_database(third)
    assert (content_of(second), content_of(third)) == ("second", "first")


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, caches: Path) -> None:
    caches.write_text("no folder")
    home = server_home(tmp_path / "1", "first")
    cache_new_database(home)
    copy_cached_database(server_home(tmp_path / "2"))
    assert not new_database().exists()


def test_half_a_database_is_not_kept(tmp_path: Path) -> None:
    home = server_home(tmp_path / "1")
    (home / DATABASE).write_bytes(b"no database at all" * 100)
    cache_new_database(home)
    assert not new_database().exists()
    assert not list(new_database().parent.iterdir())


def test_no_outgoing_connection_can_take_the_port_of_a_server_that_is_started_again() -> None:
    ports = {free_port() for _ in range(20)}
    with socket.create_server((HOST, 0)) as server:
        taken = []
        for _ in range(20):
            with socket.create_connection(server.getsockname()) as outgoing:
                taken.append(outgoing.getsockname()[1])
    assert max(ports) < min(taken)


def test_a_port_that_is_in_use_is_not_given() -> None:
    with socket.create_server((HOST, free_port())) as server:
        port = server.getsockname()[1]
        assert free_port(port) != port
    assert free_port(preferred := free_port()) == preferred
