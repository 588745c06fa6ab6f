"""Shared fixtures of the tests of the main environment: an emulator, and a Prefect server.

There is one of each for all tests of a session, in any number of processes. Tests that change
settings of the whole account (permissions, prices, chaos) use `switched`; tests that need an empty
account start their own emulator.
"""

import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import pytest
from block_schemas import generate_once
from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings
from prefect_site import prefect_server, prefect_worker
from shared import shared
from stand_in_worker import STAND_IN

from deployments.local.emulator.core.account_limits import AccountLimits
from deployments.local.emulator.core.chaos_switches import Chaos
from deployments.local.emulator_client import LOG_NAME, Emulator, start_emulator
from deployments.local.environment import worker_python

generate_once()

SLOW = {"prefect", "process_emulator", "worker_emulator"}  # fixtures that take seconds


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Exclude tests with their own server or account from the fast tests."""
    for item in items:
        if SLOW & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.e2e)


def start(root: Path, speed: float = 1) -> AbstractContextManager[Emulator]:
    """Start an emulator with a stand-in for the worker, and fast machines."""
    return start_emulator(
        root,
        Path(sys.executable),
        container_command=[str(STAND_IN)],
        boot_seconds=0.1,
        tick_seconds=0.2,
        metric_seconds=0.5,
        shutdown_seconds=2,
        retry_seconds=0.3,
        speed=speed,
    )


@pytest.fixture(scope="session")
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """The shared account."""
    with shared(request, "emulator", start) as running:
        yield running
        assert_nothing_failed(running)


@pytest.fixture(scope="session")
def worker_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account for this process's tests whose containers run the worker itself."""
    with start_emulator(tmp_path_factory.mktemp("aws"), worker_python()) as running:
        yield running


@pytest.fixture(scope="session")
def process_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The account of this process's tests, for `switched`; a quarter of an hour takes 9 s."""
    with start(tmp_path_factory.mktemp("aws"), speed=100) as running:
        yield running
        assert_nothing_failed(running)


def assert_nothing_failed(emulator: Emulator) -> None:
    log = (emulator.root / LOG_NAME).read_text()
    assert "failed" not in log, log


@pytest.fixture
def switched(process_emulator: Emulator) -> Iterator[Emulator]:
    """An account whose settings a test may change; they are reset afterwards."""
    yield process_emulator
    process_emulator.set_chaos(**Chaos().model_dump())
    process_emulator.set_account(**asdict(AccountLimits()))
    process_emulator.record(False)


@pytest.fixture
def app_name(request: pytest.FixtureRequest) -> str:
    """A unique name for the test in a shared account: words of its name, and a number."""
    words = request.node.name.removeprefix("test_").replace("[", "_").split("_")
    name = "".join(filter(str.isalnum, "".join(word.title() for word in words)))
    return f"{name[:21]}{zlib.crc32(request.node.nodeid.encode()):08x}"


@pytest.fixture(scope="session")
def prefect(request: pytest.FixtureRequest) -> Iterator[None]:
    """The shared Prefect server, for every thread and child process."""
    with shared(request, "prefect", prefect_server) as api, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", api)
        refresh_global_settings_context()
        yield
    refresh_global_settings_context()


@pytest.fixture(scope="session")
def pool(request: pytest.FixtureRequest, prefect: None) -> Iterator[None]:
    """All deployments on that server, and a worker that runs them in separate processes."""
    api = str(get_current_settings().api.url)
    with shared(request, "pool", lambda folder: prefect_worker(folder, api)):
        yield
