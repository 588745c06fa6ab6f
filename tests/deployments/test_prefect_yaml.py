"""Every deployment: its entrypoint is a flow, and its parameters are those of the flow."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

FILE = Path(__file__).parents[2] / "deployments" / "prefect.yaml"
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_an_entrypoint_is_a_flow_that_takes_the_parameters(deployment: dict[str, Any]) -> None:
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    values = deployment.get("parameters", {})
    properties = flow.parameters.properties
    assert set(values) <= set(properties)
    if deployment.get("schedules"):
        assert set(flow.parameters.required) <= set(values), "a schedule has no form to fill in"
        flow.validate_parameters(values)


def test_schedules_that_begin_runs_are_off_until_somebody_switches_them_on() -> None:
    scheduled = [deployment for deployment in DEPLOYMENTS if deployment.get("schedules")]
    active = [
        deployment
        for deployment in scheduled
        if any(each["active"] for each in deployment["schedules"])
    ]
    assert len(scheduled) > len(active)
    # The reaper starts no runs, and must find forgotten machines without anybody's help.
    assert [deployment["name"] for deployment in active] == ["reaper"]


def test_a_reaper_that_prefect_lost_keeps_no_later_one_from_starting() -> None:
    (reaper,) = (each for each in DEPLOYMENTS if each["name"] == "reaper")
    assert "concurrency_limit" not in reaper


def test_names_are_unique() -> None:
    names = [deployment["name"] for deployment in DEPLOYMENTS]
    assert len(set(names)) == len(names)
