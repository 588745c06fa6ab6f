"""What the flows share with the worker, as docs/contract.schema.json has it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Le

from blocks import RunConfig
from blocks.job_file.s3_keys import DATA_FILES, MOUNT
from blocks.resource_names import Names
from tasks.aws.clients import Aws
from tasks.jobs.messages import JobMessage
from tasks.jobs.queues import Letter
from tasks.jobs.results import STATUSES, given_up
from tasks.preflight.pipeline import input_folder
from tasks.resources.console_links import stream_name
from tasks.resources.ecs import WORKER_VARIABLES, worker_environment
from tasks.runs import record
from tasks.runs.run import Run

CONTRACT = json.loads((Path(__file__).parents[2] / "docs" / "contract.schema.json").read_text())
DOCUMENT = CONTRACT["$defs"]["worker_settings"]
SETTINGS = DOCUMENT["properties"]
EXAMPLES = {key: setting["examples"][0] for key, setting in SETTINGS.items()}
CONFIG_KEYS = [key for key in SETTINGS if key in RunConfig.model_fields]


def run_of(**changes: Any) -> Run:
    """A run with what a config must have, and changes."""
    given = {key: EXAMPLES[key] for key in ("app_name", "aws_bucket", "aws_region")}
    config = RunConfig(**(given | {"dockerhub_tag": "lab/worker:1"} | changes))
    return Run(config, EXAMPLES["run_id"], Aws.connect(config.credentials, config.aws_region))


def written(**changes: Any) -> dict[str, str]:
    """The environment of such a run."""
    urls = (EXAMPLES["sqs_queue_url"], EXAMPLES["sqs_dead_letter_queue_url"])
    return worker_environment(run_of(**changes), *urls)


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


SHARED = CONTRACT["shared"]


def test_inputs_are_checked_where_the_worker_looks_for_them() -> None:
    assert SHARED["mount"] == MOUNT
    assert list(DATA_FILES) == SHARED["data_files"]
    folder = {"objects": input_folder.MOST_OBJECTS, "bytes": input_folder.MOST_BYTES}
    assert folder == SHARED["input_folder"]


def test_the_record_is_read_where_the_worker_writes_it() -> None:
    run = run_of()
    keys = {
        "result": run.key(record.result("failed", "j1")),
        "finish": run.key(record.FINISH),
        "done": f"{run.names.done_prefix}j1.json",
    }
    names = {"app_name": run.names.app, "run_id": run.run_id, "status": "failed"}
    for kind, key in SHARED["keys"].items():
        assert keys[kind] == key.format(**names, name="j1", job_id="j1")
    assert list(STATUSES) == CONTRACT["$defs"]["result_record"]["properties"]["status"]["enum"]


def test_the_alarm_is_looked_for_as_the_worker_names_and_tags_it() -> None:
    assert {"app": Names.app_tag, "run": Names.run_tag} == SHARED["tags"]
    assert Names.of("App").alarm("i-1") == SHARED["alarm"].format(app_name="App", instance_id="i-1")


def test_a_log_stream_is_linked_as_the_worker_names_it() -> None:
    for metadata_id, stream in SHARED["log_streams"].items():
        assert stream_name(metadata_id) == stream
    longest = SHARED["log_stream_length"]
    assert stream_name("x" * (longest + 1)) == "x" * longest


def test_a_dead_letter_is_read_as_the_worker_writes_it() -> None:
    run = run_of()
    message = JobMessage.from_body(json.dumps(CONTRACT["examples"][0]["message"]))
    attributes = {name: f"the {name}" for name in SHARED["dead_letter_attributes"]}
    result = given_up(run, message, Letter(message.body, datetime.now(UTC), attributes))
    assert (result["reason"], result["reason_text"]) == ("the reason", "the reason_text")
