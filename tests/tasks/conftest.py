"""Runs in the emulator, for all tests of tasks that look at AWS."""

from collections.abc import Callable
from typing import Any

import pytest
from recorded_run import config_at, new_run

from deployments.local.emulator_client import Emulator
from tasks.runs.run import Run


@pytest.fixture
def endpoint_url(emulator: Emulator) -> str:
    return emulator.endpoint_url


@pytest.fixture
def make_run(endpoint_url: str, app_name: str) -> Callable[..., Run]:
    """Begins a run of an app that is the test's own."""

    def make(app: str = app_name, run_id: str = "20260301-120000-abcdef", **settings: Any) -> Run:
        return new_run(config_at(endpoint_url, app, **settings), run_id)

    return make


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    return make_run()
