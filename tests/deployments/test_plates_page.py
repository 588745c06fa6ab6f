"""The examples of docs/plates.md are valid."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

from blocks.job_file.model import parse_job_file
from blocks.job_file.profile import parse_profile
from deployments.cli.app import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plates.md").read_text()
FILE = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())
FLOWS = {
    f"{load_flow_from_entrypoint(deployment['entrypoint']).name}/{deployment['name']}": deployment[
        "entrypoint"
    ]
    for deployment in FILE["deployments"]
}
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^prefect deployment run .*$", PAGE, re.MULTILINE)


def deployed(values: dict[str, Any]) -> None:
    (example,) = values["deployments"]
    deployment = next(
        candidate for candidate in FILE["deployments"] if candidate["name"] == example["name"]
    )
    assert deployment["entrypoint"] == example["entrypoint"]
    assert set(deployment["parameters"]) == set(example["parameters"])
    load_flow_from_entrypoint(example["entrypoint"]).validate_parameters(example["parameters"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split(":")[0])
def test_an_example_is_read(example: str) -> None:
    values = yaml.safe_load(example)
    if "deployments" in values:
        deployed(values)
    elif "steps" in values:
        steps = parse_profile(example, "profile.yaml").plan("profile.yaml")
        assert [len(step.job.sets()) for step in steps] == [2, 2, 2]
    else:
        (jobs,) = parse_job_file(example, "job.yaml").sets(["BR00117035"])
        assert jobs.plate == "BR00117035"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda line: line.split()[3])
def test_a_command_names_a_deployment_and_its_parameters(command: str) -> None:
    _, _, _, deployment, *options = shlex.split(command)
    pairs = [option.split("=", 1) for option in options if option != "-p"]
    parameters = {key: json.loads(value) if value[0] in '[{"' else value for key, value in pairs}
    flow = load_flow_from_entrypoint(FLOWS[deployment])
    assert flow.validate_parameters(parameters).keys() >= parameters.keys()


def test_dcp_check_takes_the_options_that_the_page_names() -> None:
    options = ["--config", "c", "--job", "j", "--fleet", "f", "--plates", "a", "b", "--json"]
    _, bound, _ = app.parse_args(["check", *options], exit_on_error=False)
    assert (bound.arguments["plates"], bound.arguments["as_json"]) == (("a", "b"), True)
