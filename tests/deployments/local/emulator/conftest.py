"""Apps in an emulator over real HTTP, with small programs instead of the worker."""

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
    """Tests of this folder change settings of the whole account."""
    return switched


@pytest.fixture
def app(emulator: Emulator, app_name: str) -> Iterator[App]:
    created_app = App(app_name, emulator)
    yield created_app
    created_app.end()


@pytest.fixture
def chaos(emulator: Emulator) -> Callable[..., None]:
    """Switches faults on for the duration of the test."""
    return emulator.set_chaos
