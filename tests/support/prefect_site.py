"""Prefect's server and worker as separate processes, which can be killed and restarted."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prefect.blocks.core import Block
from prefect.settings import PREFECT_API_URL, temporary_settings
from waiting import wait_for

from deployments.local.prefect_server import (
    HOST,
    cache_new_database,
    copy_cached_database,
    die_with_parent,
    free_port,
    prefect,
)

PROJECT = Path(__file__).parents[2]
POOL = "dcp"
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
BUSY, BUSY_SECONDS = 503, 60  # the server's answer while its database is locked
RUNNING_FLOW = b"prefect.flow_engine", b"prefect.engine"


def flow_processes(api: str, flow_run: str = "") -> list[int]:
    """The processes of a flow run, or of all flow runs of a server."""
    server_marker = f"PREFECT_API_URL={api}\0".encode()
    marker = f"PREFECT__FLOW_RUN_ID={flow_run}".encode()
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:  # it ended, or belongs to another user
            continue
        runs_flow = any(name in command for name in RUNNING_FLOW)
        if runs_flow and server_marker in environment + b"\0" and marker in environment:
            pids.append(int(folder.name))
    return pids


class PrefectSite:
    """A Prefect server with all deployments, and a worker that runs them.

    Attributes:
        home: Folder of its database and logs.
        api: Address of the server's API.
    """

    def __init__(self, home: Path, api: str = "") -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.api = api or f"http://{HOST}:{free_port()}/api"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        self._server: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None

    def _start(self, log: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.home / log).open("ab") as output:
            return subprocess.Popen(
                prefect(*command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=PROJECT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def start_server(self) -> None:
        """Start the server; it answers some seconds later."""
        port = str(urlsplit(self.api).port)
        copy_cached_database(self.home)
        self._server = self._start("server.log", "server", "start", "--host", HOST, "--port", port)

    def serve(self) -> None:
        """Start the server, and wait until it answers."""
        self.start_server()
        wait_for(self.answers, f"the Prefect server ({self.home / 'server.log'})")
        cache_new_database(self.home)

    def answers(self) -> bool:
        """Whether the server answers."""
        with suppress(OSError):
            return bool(self.ask("health"))
        return False

    def start_worker(self) -> None:
        """Start the Prefect worker."""
        self._worker = self._start(
            "worker.log", "worker", "start", "--pool", POOL, "--type", "process"
        )

    def deploy(self) -> None:
        """Create the work pool and all deployments."""
        for command in (
            ("work-pool", "create", POOL, "--type", "process"),
            ("--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml"),
        ):
            subprocess.run(
                prefect(*command),
                cwd=PROJECT,
                env=self._environment,
                check=True,
                capture_output=True,
            )

    def signal_server(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal the server's process and its children."""
        self._server = _ended(self._server, number)

    def signal_worker(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal only the Prefect worker's process."""
        self._worker = _ended(self._worker, number)

    def kill_flows(self, flow_run: str = "") -> int:
        """Send SIGKILL to the processes of a flow run, or of all; returns their number."""
        killed = 0
        for pid in flow_processes(self.api, flow_run):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """Send a request to the API; returns the response."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.api}/{path}", data, headers, method=method)
        end = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    text = answer.read()
            except urllib.error.HTTPError as error:
                if error.code != BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.5)
            else:
                return json.loads(text) if text else None

    def start_run(self, deployment: str, **parameters: Any) -> str:
        """Start a run of a deployment like the UI; returns the flow run's id."""
        deployment_record = self.ask(f"deployments/name/{deployment}")
        flow_run = self.ask(
            f"deployments/{deployment_record['id']}/create_flow_run", {"parameters": parameters}
        )
        return str(flow_run["id"])

    def schedule(self, deployment: str, seconds: float, **parameters: Any) -> None:
        """Run a deployment every this many seconds instead of on its own schedules."""
        deployment_record = self.ask(f"deployments/name/{deployment}")
        for existing in deployment_record["schedules"]:
            self.ask(
                f"deployments/{deployment_record['id']}/schedules/{existing['id']}", method="DELETE"
            )
        every = {"schedule": {"interval": seconds}, "active": True, "parameters": parameters}
        self.ask(f"deployments/{deployment_record['id']}/schedules", [every])  # type: ignore[arg-type]

    def has(self, deployment: str) -> bool:
        """Whether a deployment with this name exists."""
        try:
            return bool(self.ask(f"deployments/name/{deployment}"))
        except urllib.error.HTTPError:
            return False

    def save(self, name: str, block: Block) -> None:
        """Save a block under a name."""
        with temporary_settings({PREFECT_API_URL: self.api}):
            block.save(name, overwrite=True)

    def state(self, flow_run: str) -> str:
        """The type of a flow run's state; "" if the server does not answer."""
        try:
            return str(self.ask(f"flow_runs/{flow_run}")["state"]["type"])
        except OSError:
            return ""

    def outcome(self, flow_run: str) -> str:
        """A flow run's state, and the number of its process's starts."""
        record = self.ask(f"flow_runs/{flow_run}")
        return f"{record['state']['name']}, start {record['run_count']}"

    def message(self, flow_run: str) -> str:
        """The message of a flow run's state."""
        return str(self.ask(f"flow_runs/{flow_run}")["state"]["message"])

    def close(self) -> None:
        """Stop everything."""
        self.signal_worker()
        self.kill_flows()
        self.signal_server(signal.SIGTERM)


def _ended(process: subprocess.Popen[bytes] | None, number: signal.Signals) -> None:
    if process is None:
        return
    if number is signal.SIGKILL:
        process.kill()
    else:
        process.send_signal(number)
    try:
        process.wait(600)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """A server for the duration of the `with` block; yields the address of its API."""
    with closing(PrefectSite(home)) as site:
        site.serve()
        yield site.api


@contextmanager
def prefect_worker(home: Path, api: str) -> Iterator[None]:
    """All deployments on a server, and a worker, for the duration of the `with` block."""
    with closing(PrefectSite(home, api)) as site:
        site.deploy()
        site.start_worker()
        yield


@contextmanager
def prefect_site(home: Path) -> Iterator[PrefectSite]:
    """Server, deployments and worker for the duration of the `with` block."""
    with closing(PrefectSite(home)) as site:
        site.serve()
        site.deploy()
        site.start_worker()
        yield site
