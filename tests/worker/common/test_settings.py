"""The environment of the task definition."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcp_worker.common.settings import SettingsError

from task_definition import ENVIRONMENT, refused, settings


@pytest.mark.parametrize(
    ("changes", "buckets"),
    [
        ({}, ("main", "main", "main")),
        ({"SOURCE_BUCKET": "s"}, ("s", "s", "main")),
        ({"SOURCE_BUCKET": "False"}, ("main", "main", "main")),
        ({"WORKSPACE_BUCKET": "w"}, ("main", "w", "main")),
        ({"SOURCE_BUCKET": "s", "WORKSPACE_BUCKET": "w"}, ("s", "w", "main")),
        ({"SOURCE_BUCKET": "s", "WORKSPACE_BUCKET": "False"}, ("s", "s", "main")),
        ({"SOURCE_BUCKET": "s", "DESTINATION_BUCKET": "d"}, ("s", "s", "d")),
    ],
)
def test_the_workspace_falls_back_to_the_source(
    changes: dict[str, str], buckets: tuple[str, str, str]
) -> None:
    read = settings(**changes)
    assert (read.source_bucket, read.workspace_bucket, read.destination_bucket) == buckets


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        settings(**{name: ""})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("DOCKER_CORES", "four", "whole number"),
        ("DOCKER_CORES", "0", "1 to"),
        ("CHECK_IF_DONE_BOOL", "yes", "'True' and 'False'"),
        ("WARM", "warm", "'True' and 'False'"),
        ("MEMORY", "4GB", "whole number"),
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
    assert f"{name} is {value!r}" in str(error.value)
    assert allowed in str(error.value)


def test_one_error_reports_all_mistakes() -> None:
    with pytest.raises(SettingsError) as error:
        settings(DOCKER_CORES="x", JOB_RETRIES="", UPLOAD_OPTIONS="--nothing")
    assert len(str(error.value).splitlines()) == 3


def test_a_container_with_a_wrong_variable_does_not_start(tmp_path: Path) -> None:
    assert "DOCKER_CORES is 'many'" in refused(tmp_path, DOCKER_CORES="many")


def test_upload_options_are_the_arguments_of_boto3() -> None:
    text = '{"ACL": "private", "Metadata": {"a": "1"}, "Tagging": "batch=1&who=me"}'
    read = settings(UPLOAD_OPTIONS=text).upload_arguments
    assert read == {"ACL": "private", "Metadata": {"a": "1"}, "Tagging": "batch=1&who=me"}


def test_flags_ignore_case_and_an_empty_variable_counts_as_unset() -> None:
    read = settings(CHECK_IF_DONE_BOOL="TRUE", NO_SIGN_REQUEST="false", UPDATE_PLUGINS=" ")
    flags = (read.check_if_done_bool, read.no_sign_request, read.update_plugins)
    assert flags == (True, False, False)
