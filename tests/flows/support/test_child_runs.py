"""Flow runs that another flow run has started."""

from typing import Any

import pytest
from prefect import flow
from prefect.client.schemas.objects import State

from flows.support import child_runs

pytestmark = pytest.mark.e2e


@flow
def child() -> None:
    pass


@flow
def parent() -> None:
    for _ in range(5):
        child()


def test_all_children_are_found_however_many(
    prefect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_runs, "PAGE", 2)
    state: State[Any] = parent(return_state=True)
    assert state.state_details.flow_run_id is not None
    found = child_runs.children_of(state.state_details.flow_run_id)
    assert len({one.id for one in found}) == len(found) == 5
