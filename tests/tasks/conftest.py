"""One emulator for all tests of tasks that look at AWS."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded_run import config_at, new_run

from deployments.local.aws import Emulator, start_emulator
from tasks.run import Run


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with start_emulator(
        tmp_path_factory.mktemp("aws"), Path(sys.executable), boot_seconds=0.1
    ) as running:
        yield running


@pytest.fixture(scope="session")
def endpoint_url(emulator: Emulator) -> str:
    return emulator.endpoint_url


@pytest.fixture
def make_run(endpoint_url: str, request: pytest.FixtureRequest) -> Callable[..., Run]:
    """Begins a run of an app that is the test's own."""
    name = "".join(filter(str.isalnum, request.node.name.removeprefix("test").title()))[:30]

    def make(app: str = name, run_id: str = "20260301-120000-abcdef", **settings: Any) -> Run:
        return new_run(config_at(endpoint_url, app, **settings), run_id)

    return make


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    return make_run()
