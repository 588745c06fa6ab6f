"""dcp's own temporary Prefect server on 127.0.0.1.

This module does not import Prefect, which reads its settings on first import: the environment must
contain the address of the server before that.
"""

import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

from blocks.errors import DcpError
from deployments.local.emulator.core.container_init import PR_SET_PDEATHSIG, prctl
from tasks import interrupt

HOST = "127.0.0.1"
PORTS = range(20_000, 32_768)  # below those of outgoing connections, on Linux and macOS
PORT_TRIES = 20
START_SECONDS = 180
STOP_SECONDS = 15
LOG_NAME = "server.log"
DATABASE = "prefect.db"
ENDING = "Shutting down cleanly. Ctrl-\\ kills this process at once."


class PrefectError(DcpError):
    """Prefect's server or a Prefect command failed; the text ends with its output."""


@contextmanager
def temporary_prefect(preferred_port: int = 0) -> Iterator[tuple[Path, int]]:
    """Use a separate Prefect server for the duration of the `with` block.

    Signals are held, so that none arrives between the start of a process and the code that stops
    it. Prefect must not have been imported before.

    Args:
        preferred_port: The port to listen on, if it is free.

    Yields:
        The folder and the port of the server, which `start_server` starts.
    """
    try:
        with interrupt.held(ENDING), tempfile.TemporaryDirectory(prefix="dcp-prefect-") as folder:
            home, port = Path(folder), free_port(preferred_port)
            use_server(home, port)
            yield home, port
    except KeyboardInterrupt:
        print("Nothing is left running.", file=sys.stderr)
        raise


def free_port(preferred_port: int = 0) -> int:
    """A free port on which a server can listen again after a restart.

    Linux assigns ports from 32768 on to outgoing connections and holds each for a minute after it
    closes: a restarted server could not listen there.

    Args:
        preferred_port: The preferred port.

    Raises:
        OSError: No port is free.
    """
    for port in (preferred_port or random.choice(PORTS), *random.sample(PORTS, PORT_TRIES)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError(f"Could not find a free port from {PORTS.start} to {PORTS.stop - 1}")


def use_server(home: Path, port: int) -> str:
    """Make this process and its children use the server that will listen on this port.

    Returns:
        The address of its UI.
    """
    os.environ["PREFECT_HOME"] = str(home)
    os.environ["PREFECT_API_URL"] = f"http://{HOST}:{port}/api"
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ.pop("PREFECT_API_KEY", None)
    return f"http://{HOST}:{port}"


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent process dies."""
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def prefect(*arguments: str) -> list[str]:
    """The command line of a Prefect command in this environment."""
    return [sys.executable, "-m", "prefect", *arguments]


@contextmanager
def child(
    command: Sequence[str], log: Path, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the duration of the `with` block, with its output in a file.

    It has a separate session, so that Ctrl-C in the terminal does not reach it directly.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def start_server(home: Path, port: int) -> Iterator[Callable[[], None]]:
    """Run the Prefect server for the duration of the `with` block.

    Args:
        home: Its folder, created if missing, for its database and log.
        port: Its port on 127.0.0.1, the same as for `use_server`.

    Yields:
        A function that waits until the server answers, and raises PrefectError if it does not.
    """
    home.mkdir(parents=True, exist_ok=True)
    copy_cached_database(home)
    command = prefect("server", "start", "--host", HOST, "--port", str(port))
    with child(command, home / LOG_NAME) as process:
        yield partial(_await, process, home, port)


def new_database() -> Path:
    """The path of a new Prefect server's database, cached for later servers.

    Prefect creates its tables in some 120 migrations, which take half of the start-up time.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "dcp" / f"prefect-{version('prefect')}.db"


def copy_cached_database(home: Path) -> None:
    """Give a new server the cached database of an earlier new server."""
    cached = new_database()
    if cached.is_file() and not (home / DATABASE).exists():
        shutil.copyfile(cached, home / DATABASE)


def cache_new_database(home: Path) -> None:
    """Cache the database of a new server that answers, unless one is already cached."""
    cached = new_database()
    if cached.exists():
        return
    with suppress(OSError, sqlite3.Error):  # then later servers start as slowly as this one
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cached.parent) as folder:
            copy = Path(folder) / DATABASE
            with (
                closing(sqlite3.connect(home / DATABASE)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
            copy.replace(cached)  # atomic, as other processes may start a server too


def _await(process: subprocess.Popen[bytes], home: Path, port: int) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with opener.open(f"http://{HOST}:{port}/api/health", timeout=5):
                cache_new_database(home)
                return
        except OSError:
            interrupt.sleep(0.2)
    log = (home / LOG_NAME).read_text(errors="replace")[-2000:]
    raise PrefectError(f"The Prefect server did not start: {log}")
