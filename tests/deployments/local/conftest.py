"""A real emulator over real HTTP, with small programs in the place of the worker."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments.local.aws import LOG_NAME, Emulator, start_emulator
from deployments.local.chaos import Chaos

# The tests of this folder share a module; pytest's importlib mode adds no folder to the path.
sys.path.insert(0, str(Path(__file__).parent))

from emulated_app import STAND_IN, App


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with start_emulator(
        tmp_path_factory.mktemp("emulator"),
        Path(sys.executable),
        container_command=[str(STAND_IN)],
        boot_seconds=0.1,
        tick_seconds=0.1,
        metric_seconds=0.5,
        shutdown_seconds=2,
        retry_seconds=0.3,
        speed=100,
    ) as running:
        yield running
        log = (running.root / LOG_NAME).read_text()
    assert "failed" not in log, log


@pytest.fixture
def app(emulator: Emulator, request: pytest.FixtureRequest) -> Iterator[App]:
    name = "".join(part.title() for part in request.node.name.removeprefix("test_").split("_"))
    one = App("".join(filter(str.isalnum, name))[:40], emulator)
    yield one
    one.end()


@pytest.fixture
def chaos(emulator: Emulator) -> Iterator[Callable[..., None]]:
    """Switches on what goes wrong, for the time of the test."""
    yield emulator.set_chaos
    emulator.set_chaos(**Chaos().model_dump())
