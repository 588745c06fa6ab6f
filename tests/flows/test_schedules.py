"""With the pinned versions, Prefect's server makes flow runs of a schedule."""

import pytest
from prefect import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

pytestmark = pytest.mark.e2e


def test_the_reaper_is_scheduled(pool: None) -> None:
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name("dcp-reaper/reaper")
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": found.id})
        mine = DeploymentFilter(id=DeploymentFilterId(any_=[found.id]))
        runs = client.read_flow_runs(deployment_filter=mine)
    assert [one for one in runs if one.state is not None and one.state.is_scheduled()]
