"""The environment of the task definition."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dcp_worker.settings import Plugins, Settings, SettingsError, SkipRule

ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "APP_NAME": "App",
    "RUN_ID": "run-1",
    "SQS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/AppQueue",
    "SQS_DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/Dead",
    "SQS_MESSAGE_VISIBILITY": "600",
    "JOB_RETRIES": "3",
    "AWS_BUCKET": "main",
    "DOCKER_CORES": "4",
    "LOG_GROUP_NAME": "App",
}


def settings(**changes: str) -> Settings:
    return Settings.from_environment({**ENVIRONMENT, **changes})


def test_dcps_defaults() -> None:
    read = settings()
    assert (read.source_bucket, read.workspace_bucket, read.destination_bucket) == ("main",) * 3
    assert (read.slots, read.visibility, read.job_timeout) == (4, 600, 41400)
    assert (read.skip_rule, read.plugins, dict(read.upload_arguments)) == (None, None, {})
    assert not read.always_continue


@pytest.mark.parametrize(
    ("given", "source", "workspace"),
    [
        ({"SOURCE_BUCKET": "s"}, "s", "s"),
        ({"SOURCE_BUCKET": "False"}, "main", "main"),
        ({"WORKSPACE_BUCKET": "w"}, "main", "w"),
        ({"SOURCE_BUCKET": "s", "WORKSPACE_BUCKET": "w"}, "s", "w"),
        ({"SOURCE_BUCKET": "s", "WORKSPACE_BUCKET": "False"}, "s", "s"),
    ],
)
def test_the_workspace_falls_back_to_the_source(
    given: dict[str, str], source: str, workspace: str
) -> None:
    read = settings(**given)
    assert (read.source_bucket, read.workspace_bucket) == (source, workspace)


def test_skipping_and_plugins_are_groups_of_their_own() -> None:
    read = settings(
        CHECK_IF_DONE_BOOL="TRUE",
        EXPECTED_NUMBER_FILES="5",
        MIN_FILE_SIZE_BYTES="100",
        NECESSARY_STRING="Image",
        USE_PLUGINS="true",
        PLUGINS_COMMIT="v1",
        REQUIREMENTS="[cellpose]",
    )
    assert read.skip_rule == SkipRule(5, 100, "Image")
    assert read.plugins == Plugins(False, "v1", False, "[cellpose]")


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        settings(**{name: ""})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("DOCKER_CORES", "four", "whole number"),
        ("DOCKER_CORES", "0", "1 to"),
        ("SQS_MESSAGE_VISIBILITY", "43201", "3 to 43200"),
        ("JOB_TIMEOUT", "90000", "1 to 43200"),
        ("CHECK_IF_DONE_BOOL", "yes", "'True' and 'False'"),
        ("WARM", "warm", "'True' and 'False'"),
        ("MEMORY", "4GB", "whole number"),
        ("IDLE_SECONDS", "0", "1 to 86400"),
        ("IDLE_ACTION", "stop", "terminate, reboot"),
        ("STOP_SECONDS", "-1", "1 to 3600"),
        ("UPLOAD_OPTIONS", "--acl private", "not JSON"),
        ("UPLOAD_OPTIONS", '["ACL"]', "JSON object"),
        ("UPLOAD_OPTIONS", '{"Acl": "private"}', "ACL"),
    ],
)
def test_a_wrong_value_names_variable_value_and_what_is_allowed(
    name: str, value: str, allowed: str
) -> None:
    with pytest.raises(SettingsError) as error:
        settings(**{name: value})
    assert name in str(error.value)
    assert allowed in str(error.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        settings(DOCKER_CORES="x", JOB_RETRIES="", UPLOAD_OPTIONS="--nothing")
    assert len(str(error.value).splitlines()) == 3


def test_the_container_ends_with_status_2(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    environment.update(ENVIRONMENT, DOCKER_CORES="many")
    done = subprocess.run(
        [sys.executable, "-m", "dcp_worker"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "DOCKER_CORES is 'many'" in done.stdout


def test_what_this_worker_adds_to_dcps_variables() -> None:
    usual = settings()
    assert (usual.warm, usual.memory_mb, usual.stop_seconds) == (True, 0, 120)
    assert (usual.idle_seconds, usual.idle_action) == (600, "terminate")
    assert not usual.unsigned
    assert not usual.skip_recorded
    other = settings(
        WARM="False",
        MEMORY="15000",
        STOP_SECONDS="30",
        IDLE_SECONDS="60",
        IDLE_ACTION="reboot",
        ECS_SERVICE="AppService",
        NO_SIGN_REQUEST="True",
        CHECK_IF_DONE_EXACT="True",
    )
    assert (other.warm, other.memory_mb, other.stop_seconds) == (False, 15000, 30)
    assert (other.idle_seconds, other.idle_action) == (60, "reboot")
    assert (other.service, other.unsigned, other.skip_recorded) == ("AppService", True, True)


def test_upload_options_are_the_arguments_of_boto3() -> None:
    given = '{"ACL": "private", "Metadata": {"a": "1"}, "Tagging": "batch=1&who=me"}'
    read = settings(UPLOAD_OPTIONS=given).upload_arguments
    assert read == {"ACL": "private", "Metadata": {"a": "1"}, "Tagging": "batch=1&who=me"}
