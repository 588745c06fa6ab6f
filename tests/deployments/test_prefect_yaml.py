"""Every deployment: its entrypoint is a flow, and its parameters are the flow's."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

FILE = Path(__file__).parents[2] / "deployments" / "prefect.yaml"
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_an_entrypoint_is_a_flow_that_takes_the_parameters(deployment: dict[str, Any]) -> None:
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    given = deployment.get("parameters", {})
    known = flow.parameters.properties
    assert set(given) <= set(known)
    if deployment.get("schedules"):
        assert set(flow.parameters.required) <= set(given), "a schedule asks nobody"
        flow.validate_parameters(given)


def test_schedules_that_begin_runs_are_off_until_somebody_switches_them_on() -> None:
    scheduled = [one for one in DEPLOYMENTS if one.get("schedules")]
    active = [one for one in scheduled if any(each["active"] for each in one["schedules"])]
    assert len(scheduled) > len(active)
    # It begins nothing, and forgotten machines are not to wait until somebody thinks of it.
    assert [one["name"] for one in active] == ["reaper"]


def test_names_are_unique() -> None:
    names = [one["name"] for one in DEPLOYMENTS]
    assert len(set(names)) == len(names)
