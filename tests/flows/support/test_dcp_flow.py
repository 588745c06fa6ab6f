"""What the flows of dcp have in common."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.exceptions import FailedRun
from prefect.states import Completed, Failed
from prefect.utilities.callables import parameter_schema

from blocks.errors import InputError, Problem
from flows.cleanup import cleanup
from flows.full_run import dcp
from flows.reaper import reaper
from flows.retry_failed import retry_failed
from flows.support import dcp_flow as common
from tasks.prefect_output.failed_state import readable


@pytest.mark.parametrize("flow", [dcp, cleanup, retry_failed, reaper])
def test_every_parameter_has_a_description_in_prefects_form(flow: Any) -> None:
    for name, schema in parameter_schema(flow.fn).properties.items():
        assert schema.get("description"), name


@pytest.mark.parametrize(
    ("flow", "parameters", "name"),
    [
        ("dcp", {"config": "lab", "job": "s3://b/jobs/plate1.yaml"}, "lab · plate1"),
        ("dcp", {"config": "lab", "job": "j", "plates": ["P1", "P2"]}, "lab · P1, P2"),
        ("dcp", {"config": "lab", "job": "j", "settings": {"app_name": "App_P1"}}, "App_P1 · j"),
        ("dcp-setup", {"config": "./config.yaml"}, "config · setup"),
        ("dcp-cleanup", {"app": "App"}, "App · cleanup"),
        ("dcp-account", {"action": "check"}, "check"),
        ("dcp-reaper", {}, "reaper"),
    ],
)
def test_a_flow_run_is_named_after_its_parameters_from_the_start(
    flow: str, parameters: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "flow_run", SimpleNamespace(parameters=parameters, tags=["x"]))
    assert common.first_name(flow) == name


def test_a_flow_run_that_is_started_again_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SimpleNamespace(name="App · P1", tags=["x", "app:App", "plate:P1"], parameters={})
    monkeypatch.setattr(common, "flow_run", before)
    assert common.first_name("dcp") == "App · P1"


def entry(error: Exception) -> logging.LogRecord:
    about = type(error), error, None
    return logging.LogRecord("prefect.engine", logging.ERROR, "", 0, "failed", (), about)


def test_prefects_engine_logs_what_is_unexpected_alone() -> None:
    """What failed in order stands in the flow run's own log; a fault must not be hidden."""
    wrong = InputError(Problem("config.yaml", "memory", "is too small"))
    assert not common.is_unexpected(entry(wrong))
    assert not common.is_unexpected(entry(FailedRun("2 of 16 jobs failed")))
    assert common.is_unexpected(entry(KeyError("ours")))


def test_bad_input_is_a_failed_state_and_a_fault_is_raised() -> None:
    wrong = InputError(Problem("config.yaml", "memory", "is too small"))

    def refuse() -> None:
        raise wrong

    def break_down() -> None:
        raise KeyError("ours")

    state: Any = readable(refuse)()
    assert isinstance(state, type(Failed()))
    assert (state.message, state.data) == (str(wrong), wrong)
    with pytest.raises(KeyError):
        readable(break_down)()
    assert readable(lambda: Completed())().is_completed()
