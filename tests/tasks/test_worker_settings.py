"""The environment of the worker, as docs/contract.schema.json has it."""

import json
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Le

from blocks import RunConfig
from tasks.aws import Aws
from tasks.containers import WORKER_VARIABLES, worker_environment
from tasks.run import Run

CONTRACT = json.loads((Path(__file__).parents[2] / "docs" / "contract.schema.json").read_text())
DOCUMENT = CONTRACT["$defs"]["worker_settings"]
SETTINGS = DOCUMENT["properties"]
EXAMPLES = {key: setting["examples"][0] for key, setting in SETTINGS.items()}
CONFIG_KEYS = [key for key in SETTINGS if key in RunConfig.model_fields]


def written(**changes: Any) -> dict[str, str]:
    """The environment of a run with what a config must have, and changes."""
    given = {key: EXAMPLES[key] for key in ("app_name", "aws_bucket", "aws_region")}
    config = RunConfig(**(given | {"dockerhub_tag": "lab/worker:1", "max_hours": 5} | changes))
    run = Run(config, EXAMPLES["run_id"], Aws.connect(config.credentials, config.aws_region))
    urls = (EXAMPLES["sqs_queue_url"], EXAMPLES["sqs_dead_letter_queue_url"])
    return worker_environment(run, *urls)


def text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def test_the_table_is_that_of_the_contract() -> None:
    table = {key: (name, always) for key, name, always in WORKER_VARIABLES}
    assert table == {
        key: (setting["variable"], setting["written"] == "always")
        for key, setting in SETTINGS.items()
    }
    assert len(table) == len(WORKER_VARIABLES)


def test_every_key_of_the_run_config_is_written_as_the_worker_reads_it() -> None:
    changes = {key: EXAMPLES[key] for key in CONFIG_KEYS}
    acl = EXAMPLES["upload_arguments"]["ACL"]
    environment = written(**changes, upload={"acl": acl})
    assert environment == {SETTINGS[key]["variable"]: text(EXAMPLES[key]) for key in SETTINGS}


def test_a_run_config_of_defaults_writes_all_that_the_worker_requires_and_no_default() -> None:
    environment = written()
    assert environment.keys() >= {SETTINGS[key]["variable"] for key in DOCUMENT["required"]}
    assert environment.keys() == {name for _, name, always in WORKER_VARIABLES if always}
    for setting in SETTINGS.values():
        if setting["written"] != "always":
            assert setting["default"] in (False, "", {})


@pytest.mark.parametrize("key", [key for key in CONFIG_KEYS if "minimum" in SETTINGS[key]])
def test_the_worker_takes_every_number_that_the_run_config_allows(key: str) -> None:
    bounds = RunConfig.model_fields[key].metadata
    (low,) = [bound.ge for bound in bounds if isinstance(bound, Ge)]
    (high,) = [bound.le for bound in bounds if isinstance(bound, Le)]
    assert SETTINGS[key]["minimum"] <= low <= high <= SETTINGS[key]["maximum"]
