"""The worker follows the contract with the flows, docs/contract.schema.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from datetime import datetime, timezone
from typing import Any

import pytest
from dcp_worker.common.settings import Settings, SettingsError
from dcp_worker.diagnosis.reasons import REASONS
from dcp_worker.inputs import input_folder
from dcp_worker.jobs import drain_order, message, result_record
from dcp_worker.jobs.result_record import Measurements, ResultRecord
from dcp_worker.load_data import local_paths
from dcp_worker.machine import instance
from dcp_worker.outputs import completed_jobs
from dcp_worker.slot import job_log
from jsonschema import Draft202012Validator, FormatChecker

from contract import CONTRACT, REQUIRED, SETTINGS, SHARED


def about(case: dict[str, Any]) -> str:
    return str(case["about"])


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(CONTRACT["$defs"][name], format_checker=FormatChecker())


@pytest.mark.parametrize("case", CONTRACT["examples"], ids=about)
def test_a_message_means_what_the_contract_says(case: dict[str, Any]) -> None:
    validator("job_message").validate(case["message"])
    job = message.parse(json.dumps(case["message"]), "own-run")
    assert job.metadata == case["metadata_text"]
    assert job.metadata_id == case["metadata_id"]
    assert job.output == case["output_prefix"]
    assert job.job_id == case["job_id"]
    assert job.run_id == case["message"].get("run_id", "own-run")


@pytest.mark.parametrize("case", CONTRACT["refused"], ids=about)
def test_a_message_that_is_no_job_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(message.BadMessageError):
        message.parse(json.dumps(case["message"]), "own-run")


@pytest.mark.parametrize("status", ["succeeded", "skipped", "failed"])
@pytest.mark.parametrize("readable", [True, False])
def test_every_record_is_valid(status: str, readable: bool) -> None:
    body = json.dumps(CONTRACT["examples"][0]["message"])
    job = message.parse(body, "own-run") if readable else None
    now = datetime.now(timezone.utc)
    result = ResultRecord(
        job=job,
        job_id=job.job_id if job else "",
        run_id="own-run",
        app_name="App",
        status=status,
        reason="" if status == "succeeded" else "timeout",
        reason_text="",
        attempt=1,
        instance_id="",
        started_at=now,
        ended_at=now,
        log_stream="P1-A01",
        measurements=Measurements(wait=0.5),
    )
    validator("result_record").validate(json.loads(json.dumps(result.document())))


def environment(keys: Iterable[str]) -> dict[str, str]:
    """The examples of some settings, as the flows write them."""
    return {SETTINGS[key]["variable"]: text(SETTINGS[key]["examples"][0]) for key in keys}


def text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def test_the_settings_are_those_of_the_contract() -> None:
    variables = {setting.name: setting.metadata["variable"].name for setting in fields(Settings)}
    assert variables == {key: setting["variable"] for key, setting in SETTINGS.items()}


def test_settings_are_read_as_the_flows_write_them() -> None:
    read = vars(Settings.from_environment(environment(SETTINGS)))
    validator("worker_settings").validate(read)
    assert read == {key: setting["examples"][0] for key, setting in SETTINGS.items()}


def test_optional_settings_have_the_defaults_of_the_contract() -> None:
    read = vars(Settings.from_environment(environment(REQUIRED)))
    fallbacks = {"source_bucket": "lab", "workspace_bucket": "lab", "destination_bucket": "lab"}
    optional = {key: SETTINGS[key]["default"] for key in SETTINGS if key not in REQUIRED}
    assert {key: read[key] for key in optional} == {**optional, **fallbacks}


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_required_setting_is_an_error(key: str) -> None:
    with pytest.raises(SettingsError, match=SETTINGS[key]["variable"]):
        Settings.from_environment(environment(other for other in REQUIRED if other != key))


@pytest.mark.parametrize("key", [key for key in SETTINGS if "minimum" in SETTINGS[key]])
def test_a_number_has_the_bounds_of_the_contract(key: str) -> None:
    low, high = SETTINGS[key]["minimum"], SETTINGS[key]["maximum"]
    for value, allowed in ((low - 1, False), (low, True), (high, True), (high + 1, False)):
        variables = {**environment(REQUIRED), SETTINGS[key]["variable"]: str(value)}
        if allowed:
            assert getattr(Settings.from_environment(variables), key) == value
        else:
            with pytest.raises(SettingsError, match=SETTINGS[key]["variable"]):
                Settings.from_environment(variables)


def test_the_reasons_are_those_of_the_contract() -> None:
    assert {code: asdict(reason) for code, reason in REASONS.items()} == SHARED["reasons"]


NAMES = {"app_name": "App", "run_id": "r1", "status": "failed", "name": "j1", "job_id": "j1"}


def test_the_worker_and_preflight_agree_on_the_inputs() -> None:
    assert SHARED["mount"] == local_paths.MOUNT
    assert list(message.DATA_FILES) == SHARED["data_files"]
    folder = {"objects": input_folder.INPUT_OBJECTS, "bytes": input_folder.INPUT_BYTES}
    assert folder == SHARED["input_folder"]


def test_the_record_is_written_where_the_flows_read_it() -> None:
    keys = {
        "result": result_record.key("App", "r1", "failed", "j1"),
        "finish": drain_order.key("App", "r1"),
        "done": completed_jobs.key("App", "j1"),
    }
    assert keys == {kind: key.format(**NAMES) for kind, key in SHARED["keys"].items()}


def test_the_alarm_has_the_name_and_tags_of_the_contract() -> None:
    assert SHARED["tags"] == {"app": instance.APP_TAG, "run": instance.RUN_TAG}
    alarm = instance.alarm_name("App", "i-1")
    assert alarm == SHARED["alarm"].format(app_name="App", instance_id="i-1")


def test_the_log_stream_is_named_as_the_flows_link_it() -> None:
    for metadata_id, stream in SHARED["log_streams"].items():
        assert job_log.stream_name(metadata_id) == stream
    longest = SHARED["log_stream_length"]
    assert job_log.stream_name("x" * (longest + 1)) == "x" * longest
