"""The worker's tests run against moto's server as AWS, over HTTP, and the real CellProfiler."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from shared import shared
from waiting import wait_for

from agent import Agent
from cloud import Cloud, Container


def pytest_configure(config: pytest.Config) -> None:
    """Ignore deprecation warnings of packages: the image fixes their versions."""
    for message in ("Boto3 will no longer support", ".*deprecated"):
        config.addinivalue_line("filterwarnings", f"ignore:{message}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a shared container in one process."""
    for item in items:
        names = [*getattr(item, "fixturenames", ()), *_parameters(item)]
        for container in {"standing", "cold"}.intersection(names):
            item.add_marker(pytest.mark.xdist_group(container))


def _parameters(item: pytest.Item) -> list[object]:
    call = getattr(item, "callspec", None)
    return [call.params["either"]] if call and "either" in call.params else []


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """Run a moto server within the `with` block; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers(endpoint), "moto's server to answer")
        yield endpoint
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def aws(request: pytest.FixtureRequest) -> Iterator[str]:
    """The moto server of all tests; the environment contains its address."""
    with shared(request, "moto", moto_server) as endpoint, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1/")
        yield endpoint


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture
def cloud(aws: str) -> Cloud:
    """Bucket, queues and log group of a single test."""
    return Cloud.make(f"t{uuid.uuid4().hex[:10]}")


@pytest.fixture(scope="session")
def standing(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A container with two slots for many tests, each with its own output folder."""
    yield from _standing(tmp_path_factory.mktemp("standing"))


@pytest.fixture(scope="session")
def cold(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """The same, but it runs CellProfiler's command line for each job."""
    yield from _standing(tmp_path_factory.mktemp("cold"), WARM="False")


@pytest.fixture(params=["standing", "cold"])
def either(request: pytest.FixtureRequest) -> Container:
    """Each of the two in turn, for tests that may depend on how CellProfiler runs."""
    container = request.getfixturevalue(request.param)
    assert isinstance(container, Container)
    return container


def _standing(folder: Path, **changes: str) -> Iterator[Container]:
    cloud = Cloud.make(f"t{uuid.uuid4().hex[:10]}")
    cloud.put_plate()
    cloud.put({"rules/r.txt": b"r"})
    container = Container(cloud, folder / "work")
    container.start(
        DOCKER_CORES="2",
        IDLE_SECONDS="86400",
        UPLOAD_OPTIONS='{"ACL": "bucket-owner-full-control"}',
        **changes,
    )
    yield container
    assert container.stop() == 0
    assert container.processes() == {}


@pytest.fixture
def container(cloud: Cloud, tmp_path: Path) -> Iterator[Container]:
    """A container of the worker, not started yet; killed at the end."""
    container = Container(cloud, tmp_path / "work")
    yield container
    wait_for(container.killed, "all its processes to end")


@pytest.fixture
def agent() -> Iterator[Agent]:
    """The addresses that a container finds on its machine."""
    server = Agent()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
