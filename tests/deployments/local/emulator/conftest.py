"""Apps in an emulator over real HTTP, with small programs in the place of the worker."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments.local.emulator_client import Emulator

# The tests of this folder share a module; pytest's importlib mode adds no folder to the path.
sys.path.insert(0, str(Path(__file__).parent))

from emulated_app import App


@pytest.fixture
def emulator(switched: Emulator) -> Emulator:
    """Tests of this folder switch what holds for the whole account."""
    return switched


@pytest.fixture
def app(emulator: Emulator, app_name: str) -> Iterator[App]:
    one = App(app_name, emulator)
    yield one
    one.end()


@pytest.fixture
def chaos(emulator: Emulator) -> Callable[..., None]:
    """Switches on what goes wrong, for the time of the test."""
    return emulator.set_chaos
