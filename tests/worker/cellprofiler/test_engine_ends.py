"""If a job damages a CellProfiler that stays loaded, only that job fails."""

from __future__ import annotations

import http.server
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from dcp_worker.cellprofiler import warm_process
from dcp_worker.cellprofiler.command_line import CellProfilerEnd
from dcp_worker.cellprofiler.engine import Engine
from dcp_worker.common.cancellation import InterruptedJobError, Interruption
from dcp_worker.diagnosis.reasons import REASONS
from waiting import wait_for

import plate
from local_plate import LocalPlate, never

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("engine_ends")]

HANGS = "import time\nprint('RUNNING', flush=True)\ntime.sleep(600)"


@pytest.fixture(scope="module")
def local_plate(tmp_path_factory: pytest.TempPathFactory) -> LocalPlate:
    return LocalPlate.make(tmp_path_factory.mktemp("local_plate"))


@pytest.fixture(scope="module")
def engine(local_plate: LocalPlate) -> Iterator[Engine]:
    engine = new_engine(local_plate)
    engine.start()
    yield engine
    close(engine)


def new_engine(local_plate: LocalPlate, memory_mb: float = 0, **limits: int) -> Engine:
    log = logging.getLogger("test")
    return Engine(True, memory_mb, log, plugins=local_plate.plugins, **limits)


def close(engine: Engine) -> None:
    """Close the engine and wait until all its processes have ended."""
    pid = engine.pid
    assert pid is not None
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    engine.close()
    assert engine.pid is None
    wait_for(lambda: not any(process.is_running() for process in family), "its processes to end")


def good(engine: Engine, local_plate: LocalPlate) -> None:
    """The next job succeeds, in a process that stays loaded."""
    ended = run(engine, local_plate)
    assert local_plate.code(ended) is None, ended.log
    assert engine.pid is not None


def run(
    engine: Engine, local_plate: LocalPlate, code: str | None = None, **changes: object
) -> CellProfilerEnd:
    call = local_plate.call() if code is None else local_plate.python(code)
    values: dict[str, Any] = {"timeout": 120, "check": never, "line": lambda line: None, **changes}
    return engine.run(call, local_plate.temporary, **values)


class Running:
    """Reads the lines of a job that hangs, and knows whether it is running."""

    def __init__(self) -> None:
        self._started = threading.Event()

    def line(self, text: str) -> None:
        if text == "RUNNING":
            self._started.set()

    def then(self, act: Callable[[], None]) -> Callable[[], None]:
        """A check that does something once the job runs."""
        return lambda: act() if self._started.is_set() else None


@pytest.mark.parametrize(
    "code",
    ["import ctypes\nctypes.string_at(0)", "import os\nos.abort()"],
    ids=["segmentation fault", "abort"],
)
def test_a_crash_of_native_code_costs_the_job_alone(
    engine: Engine, local_plate: LocalPlate, code: str
) -> None:
    before = set(os.listdir())
    ended = run(engine, local_plate, code)
    assert ended.exit_status is None
    assert ended.signal in (signal.SIGABRT, signal.SIGSEGV)
    assert local_plate.code(ended) == "killed"
    # Java writes its report into the job's working directory.
    assert set(os.listdir()) == before
    good(engine, local_plate)


def test_a_killed_process_costs_the_job_alone(engine: Engine, local_plate: LocalPlate) -> None:
    first = engine.pid
    assert first is not None
    running = Running()
    check = running.then(lambda: os.kill(first, signal.SIGKILL))
    ended = run(engine, local_plate, HANGS, check=check, line=running.line)
    assert (ended.exit_status, ended.signal, ended.timed_out) == (None, signal.SIGKILL, False)
    assert ended.peak_memory_mb > 100
    assert local_plate.code(ended) == "killed"
    good(engine, local_plate)
    assert engine.pid != first


def test_a_process_killed_between_two_jobs_costs_none(
    engine: Engine, local_plate: LocalPlate
) -> None:
    first = engine.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    # Its first thread ends before those of Java.
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    wait_for(lambda: os.waitid(os.P_PID, first, options) is not None, "it to end")
    good(engine, local_plate)


NUMPY = "import numpy\nnumpy.zeros((10**7, 10**7))"
SQLITE = (
    "import sqlite3\n"
    "database = sqlite3.connect(':memory:')\n"
    "database.execute('PRAGMA max_page_count = 1')\n"
    "database.execute('CREATE TABLE a (b)')"
)
SYSTEM = "import errno, os\nraise OSError(errno.{0}, os.strerror(errno.{0}))"


@pytest.mark.parametrize("always_continue", [False, True])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (NUMPY, "out_of_memory"),
        (SYSTEM.format("ENOMEM"), "out_of_memory"),
        (SQLITE, "disk_full"),
        (SYSTEM.format("ENOSPC"), "disk_full"),
        (SYSTEM.format("EDQUOT"), "disk_full"),
        (SYSTEM.format("EIO"), "machine_error"),
        (SYSTEM.format("ENOTCONN"), "machine_error"),
        (SYSTEM.format("EMFILE"), "machine_error"),
    ],
)
def test_want_of_the_machine_is_no_fault_of_the_pipeline(
    engine: Engine, local_plate: LocalPlate, code: str, reason: str, always_continue: bool
) -> None:
    call = local_plate.python(code, always_continue=always_continue)
    ended = engine.run(call, local_plate.temporary, 120, never, lambda line: None)
    assert local_plate.code(ended) == reason, ended.log
    assert not REASONS[reason].permanent


class Web(http.server.BaseHTTPRequestHandler):
    """Serves an image: all of it, its first half, or status 503."""

    def do_GET(self) -> None:
        content = plate.image(3)
        self.send_response(503 if self.path == "/busy.tif" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // (2 if self.path == "/half.tif" else 1)])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("name", "reason"),
    [("whole", None), ("half", "url_unreachable"), ("busy", "url_unreachable")],
)
def test_an_image_that_a_url_names_is_read_whole(
    engine: Engine, local_plate: LocalPlate, name: str, reason: str | None
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{name}.tif"
        rows = [{"URL_DNA": url, "Metadata_Plate": "P1", "Metadata_Well": "A01"}]
        call = local_plate.call(data=plate.load_data(rows))
        ended = engine.run(call, local_plate.temporary, 120, never, lambda line: None)
        server.shutdown()
    assert local_plate.code(ended) == reason, ended.log


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("import os\nos._exit(3)", 3, "not_complete"),
        ("raise SystemExit(4)", 4, "not_complete"),
        ("raise SystemExit('no license')", 1, "not_complete"),
        ("raise KeyboardInterrupt", 1, "not_complete"),
    ],
)
def test_a_module_that_ends_the_process(
    engine: Engine, local_plate: LocalPlate, code: str, status: int, reason: str
) -> None:
    ended = run(engine, local_plate, code)
    assert (ended.exit_status, local_plate.code(ended)) == (status, reason)
    if "license" in code:
        assert ended.log[-1] == "no license"
    good(engine, local_plate)


def test_a_job_that_hangs_is_killed_at_its_timeout(engine: Engine, local_plate: LocalPlate) -> None:
    ended = run(engine, local_plate, HANGS, timeout=5)
    assert (ended.exit_status, ended.signal, ended.timed_out) == (None, signal.SIGKILL, True)
    assert ended.seconds >= 5
    assert "RUNNING" in ended.log
    assert local_plate.code(ended) == "timeout"
    good(engine, local_plate)


@pytest.mark.parametrize("error", [InterruptedJobError(Interruption.STOPPING), OSError("a fault")])
def test_an_interruption_ends_the_job(
    engine: Engine, local_plate: LocalPlate, error: Exception
) -> None:
    pid = engine.pid
    assert pid is not None
    running = Running()

    def interrupt() -> None:
        raise error

    with pytest.raises(type(error)):
        run(engine, local_plate, HANGS, check=running.then(interrupt), line=running.line)
    assert not psutil.pid_exists(pid)
    good(engine, local_plate)


def test_a_start_can_be_interrupted(local_plate: LocalPlate) -> None:
    engine = new_engine(local_plate)
    pids = []

    def interrupt() -> None:
        pids.append(engine.pid)
        raise InterruptedJobError(Interruption.STOPPING)

    with pytest.raises(InterruptedJobError):
        engine.start(interrupt)
    assert engine.pid is None
    assert not psutil.pid_exists(pids[0])


def test_what_any_code_prints_is_of_its_own_job_and_complete(
    engine: Engine, local_plate: LocalPlate
) -> None:
    code = """
import ctypes, logging, os, subprocess, sys, threading
import javabridge
print("from Python")
sys.stderr.write("from Python's errors\\n")
logging.info("from its logging")
ctypes.CDLL(None).puts(b"from C")
os.write(1, b"from a descriptor\\n")
javabridge.JClassWrapper("java.lang.System").out.println("from Java")
subprocess.run(["echo", "from a program"])
thread = threading.Thread(target=print, args=["from a thread"])
thread.start()
thread.join()
for number in range(20000):
    print("line", number)
"""
    lines: list[str] = []
    ended = run(engine, local_plate, code, line=lines.append)
    assert local_plate.code(ended) is None
    writers = "Python,Python's errors,its logging,C,a descriptor,Java,a program,a thread"
    assert {f"from {writer}" for writer in writers.split(",")} <= set(lines)
    # Two image sets, so twice.
    assert [line for line in lines if line.startswith("line ")] == [
        f"line {number}" for number in range(20000)
    ] * 2
    assert len(ended.log) < 6000
    assert lines[0].endswith(f"--plugins-directory={local_plate.plugins}")
    again: list[str] = []
    run(engine, local_plate, line=again.append)
    assert not any(line.startswith(("from ", "line ")) for line in again)


def test_what_a_job_has_started_ends_with_it(engine: Engine, local_plate: LocalPlate) -> None:
    code = """
import subprocess
command = ["sh", "-c", "sleep 600 & echo LEFT $!; exec sleep 600"]
left = subprocess.Popen(command, start_new_session=True)
print("LEFT", left.pid)
"""
    ended = run(engine, local_plate, code)
    assert local_plate.code(ended) is None
    left = [int(line.split()[1]) for line in ended.log if line.startswith("LEFT")]
    assert len(left) >= 2
    assert not any(psutil.pid_exists(pid) for pid in left)
    good(engine, local_plate)


def test_the_process_is_replaced_after_a_number_of_jobs(local_plate: LocalPlate) -> None:
    engine = new_engine(local_plate, jobs=2)
    pids = []
    for _ in range(5):
        good(engine, local_plate)
        pids.append(engine.pid)
    # A new process starts as soon as the last job of the old one ends.
    assert [pids.index(pid) for pid in pids] == [0, 1, 1, 3, 3]
    close(engine)


def test_a_process_that_has_waited_long_for_a_job_does_it(
    local_plate: LocalPlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine(local_plate, jobs=1)
    good(engine, local_plate)
    # The next process has started; once ready, it redirects its output to /dev/null.
    wait_for(lambda: os.readlink(f"/proc/{engine.pid}/fd/1") == os.devnull, "it to be ready")
    monkeypatch.setattr(warm_process, "_START_SECONDS", 0.0)
    pid = engine.pid
    ended = run(engine, local_plate)
    assert local_plate.code(ended) is None, ended
    assert engine.pid != pid
    close(engine)


def test_the_process_is_replaced_when_it_has_grown(local_plate: LocalPlate) -> None:
    engine = new_engine(local_plate, memory_mb=1000)
    code = "import builtins\nbuiltins.kept = bytearray(700_000_000)"
    good(engine, local_plate)
    first = engine.pid
    good(engine, local_plate)
    assert engine.pid == first
    ended = run(engine, local_plate, code)
    assert local_plate.code(ended) is None
    assert ended.peak_memory_mb > 700
    assert engine.pid != first
    # The peak of this job, not of an earlier one.
    assert run(engine, local_plate).peak_memory_mb < 700
    close(engine)


def test_the_peak_is_of_the_job(engine: Engine, local_plate: LocalPlate) -> None:
    large = run(engine, local_plate, "bytearray(700_000_000)")
    assert large.peak_memory_mb > 700
    assert run(engine, local_plate).peak_memory_mb < 700


def test_the_command_line_works_where_nothing_can_stay(
    local_plate: LocalPlate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(warm_process, "PROGRAM", "dcp_worker.missing")
    engine = new_engine(local_plate)
    engine.start()
    for _ in range(3):
        ended = run(engine, local_plate)
        assert local_plate.code(ended) is None, ended.log
        assert engine.pid is None
    warnings = [record.getMessage() for record in caplog.records if record.name == "test"]
    assert len(warnings) == 2
    assert "No module named dcp_worker.missing" in warnings[0]
    assert "from now on" in warnings[1]
    engine.close()


def test_a_start_that_failed_once_is_tried_again(
    local_plate: LocalPlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine(local_plate)
    with monkeypatch.context() as broken:
        broken.setattr(warm_process, "PROGRAM", "dcp_worker.missing")
        engine.start()
        assert engine.pid is None
    good(engine, local_plate)
    close(engine)


def test_nothing_stays_when_it_is_not_wanted(local_plate: LocalPlate) -> None:
    engine = Engine(False, 0, logging.getLogger("test"))
    engine.start()
    assert local_plate.code(run(engine, local_plate)) is None
    assert engine.pid is None
    engine.close()


def test_a_slot_that_is_killed_leaves_nothing() -> None:
    code = (
        "import logging, signal\n"
        "from dcp_worker.cellprofiler.engine import Engine\n"
        "engine = Engine(True, 0, logging.getLogger())\n"
        "engine.start()\n"
        "print(engine.pid, flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as slot:
        assert slot.stdout is not None
        child = psutil.Process(int(slot.stdout.readline()))
        slot.kill()
    wait_for(lambda: not child.is_running(), "CellProfiler to end")
