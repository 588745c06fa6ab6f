import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from blocks import AwsCredentials, RunConfig, RunConfigBlock
from blocks.errors import ConfigError
from blocks.loading.load import parse_config
from blocks.prefect_blocks import block_of
from blocks.run_config.fields import RETIRED

ROOT = Path(__file__).parents[3]
BASE: dict[str, Any] = {"aws_bucket": "my-bucket", "dockerhub_tag": "me/dcp-worker:1"}

DCP_KEYS = """
APP_NAME LOG_GROUP_NAME DOCKERHUB_TAG AWS_REGION AWS_PROFILE SSH_KEY_NAME AWS_BUCKET SOURCE_BUCKET
WORKSPACE_BUCKET DESTINATION_BUCKET UPLOAD_FLAGS ECS_CLUSTER CLUSTER_MACHINES TASKS_PER_MACHINE
MACHINE_TYPE MACHINE_PRICE EBS_VOL_SIZE DOWNLOAD_FILES ASSIGN_IP DOCKER_CORES CPU_SHARES MEMORY
SECONDS_TO_START SQS_QUEUE_NAME SQS_MESSAGE_VISIBILITY SQS_DEAD_LETTER_QUEUE JOB_RETRIES
AUTO_MONITOR CREATE_DASHBOARD CLEAN_DASHBOARD CHECK_IF_DONE_BOOL EXPECTED_NUMBER_FILES
MIN_FILE_SIZE_BYTES NECESSARY_STRING ALWAYS_CONTINUE USE_PLUGINS UPDATE_PLUGINS PLUGINS_COMMIT
INSTALL_REQUIREMENTS REQUIREMENTS
"""


def config(**settings: Any) -> RunConfig:
    """A plain config, or a block if it has credentials, as from a file."""
    kind = RunConfigBlock if "aws_credentials" in settings else RunConfig
    return kind.model_validate({**BASE, **settings})


def refusal(**settings: Any) -> str:
    """The error text for these settings in c.yaml."""
    import yaml

    with pytest.raises(ConfigError) as caught:
        parse_config(yaml.safe_dump({**BASE, **settings}), "c.yaml")
    return str(caught.value)


def test_has_every_setting_of_dcp() -> None:
    assert {
        key.lower() for key in DCP_KEYS.split()
    } <= RunConfig.model_fields.keys() | RETIRED.keys()
    assert not RunConfig.model_fields.keys() & RETIRED.keys()


@pytest.mark.parametrize(
    "text",
    ["auto_monitor: true", "monitor: {auto_monitor: true}", "fleet:\n  ssh_key_name: lab.pem"],
)
@pytest.mark.parametrize("more", [{}, {"aws_credentials": {"region_name": "us-east-1"}}])
def test_a_key_without_effect_is_refused_with_the_reason(text: str, more: dict[str, Any]) -> None:
    import yaml

    with pytest.raises(ConfigError) as caught:
        parse_config(yaml.safe_dump({**BASE, **more}) + text, "c.yaml")
    (problem,) = caught.value.problems
    key = problem.key.rpartition(".")[2]
    assert problem.remedy == f"Remove it. {RETIRED[key]}"


def test_minimal_config_has_dcps_defaults() -> None:
    minimal = config()
    assert minimal.app_name == "DistributedCP"
    assert minimal.names.queue == "DistributedCPQueue"
    assert minimal.names.log_group == "DistributedCP"
    assert (minimal.cluster_machines, minimal.tasks_per_machine, minimal.docker_cores) == (3, 1, 4)
    assert minimal.cpu_units == 4096
    assert (minimal.memory, minimal.ebs_vol_size, minimal.machine_price) == (15_000, 30, 0.20)
    assert (minimal.job_retries, minimal.sqs_message_visibility) == (3, 60)
    assert minimal.seconds_to_start == 10


@pytest.mark.parametrize(
    ("buckets", "images", "workspace", "outputs"),
    [
        ({}, "my-bucket", "my-bucket", "my-bucket"),
        ({"source_bucket": "images"}, "images", "images", "my-bucket"),
        ({"workspace_bucket": "space"}, "my-bucket", "space", "my-bucket"),
        (
            {"source_bucket": "images", "workspace_bucket": "space", "destination_bucket": "out"},
            "images",
            "space",
            "out",
        ),
        ({"source_bucket": "False", "destination_bucket": False}, *["my-bucket"] * 3),
        ({"source_bucket": "", "workspace_bucket": None}, *["my-bucket"] * 3),
    ],
)
def test_buckets_fall_back_as_in_dcp(
    buckets: dict[str, Any], images: str, workspace: str, outputs: str
) -> None:
    loaded = config(**buckets)
    assert (loaded.images_bucket, loaded.workspace, loaded.outputs_bucket) == (
        images,
        workspace,
        outputs,
    )
    assert len(loaded.buckets()) == len(set(loaded.buckets()))
    assert set(loaded.buckets()) == {"my-bucket", images, workspace, outputs}


@pytest.mark.parametrize(
    ("written", "expected"), [("True", True), ("False", False), ("true", True)]
)
def test_dcps_text_booleans(written: str, expected: bool) -> None:
    assert config(download_files=written, assign_ip=written).download_files is expected


@pytest.mark.parametrize("word", ["maybe", "", 7, None])
def test_a_boolean_is_a_boolean(word: Any) -> None:
    assert "download_files" in refusal(download_files=word)


def test_one_machine_type_may_be_a_text() -> None:
    assert config(machine_type="m5.large").machine_type == ["m5.large"]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("app_name", "my app", "my app"),
        ("app_name", "-x", "-x"),
        ("app_name", "x" * 65, "1 to 64"),
        ("aws_region", "us-east-1a", "us-east-1"),
        ("aws_region", "Virginia", "Virginia"),
        ("aws_bucket", "s3://my-bucket", "without s3://"),
        ("aws_bucket", "my_bucket", "my_bucket"),
        ("aws_bucket", "My-bucket", "lower-case"),
        ("aws_bucket", "192.168.1.1", "192.168.1.1"),
        ("aws_bucket", "a..b", "a..b"),
        ("aws_bucket", "ab", "3 to 63"),
        ("source_bucket", "bucket/folder", "bucket/folder"),
        ("cluster_machines", 0, "from 1 to 10000"),
        ("cluster_machines", "many", "whole number"),
        ("cluster_machines", 1.5, "whole number"),
        ("tasks_per_machine", -1, "from 1"),
        ("machine_type", [], "machine_type"),
        ("machine_type", ["m5"], "m5.xlarge"),
        ("machine_type", ["m5.large", "m5.large"], "twice"),
        ("machine_price", 0, "USD/hour"),
        ("machine_price", float("nan"), "USD/hour"),
        ("ebs_vol_size", 21, "22"),
        ("docker_cores", 0, "from 1"),
        ("cpu_shares", 4, "128"),
        ("memory", 100, "MB"),
        ("seconds_to_start", -1, "from 0"),
        ("sqs_queue_name", "my queue", "queue name"),
        ("sqs_queue_name", "q" * 81, "80"),
        ("sqs_queue_name", "jobs.fifo", "queue name"),
        ("sqs_dead_letter_queue", "arn:aws:sqs:us-east-1:1:dead", "last part"),
        ("sqs_message_visibility", 14, "15"),
        ("sqs_message_visibility", 43_201, "43200"),
        ("job_retries", 0, "from 1"),
        ("job_timeout", 43_200, "42900"),
        ("max_hours", 0, "8760"),
        ("max_hours", 8761, "8760"),
        ("monitor_seconds", 0, "from 1"),
        ("expected_number_files", 0, "from 1"),
        ("min_file_size_bytes", -1, "bytes"),
        ("log_group_name", "my logs", "log group"),
        ("ecs_cluster", "my cluster", "cluster name"),
        ("dockerhub_tag", "my image", "my image"),
        ("plugins_commit", 1234567, "a text"),
        ("upload_flags", "--alc private", "--acl"),
        ("idle_seconds", 9, "from 10"),
        ("idle_action", "stop", "terminate, reboot"),
    ],
)
def test_values_out_of_bounds_are_reported_with_file_key_and_range(
    key: str, value: Any, expected: str
) -> None:
    text = refusal(**{key: value})
    assert text.startswith(f"c.yaml: {key}")
    assert expected in text


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"ebs_vol_size": 30, "tasks_per_machine": 11}, "ebs_vol_size"),
        ({"memory": 1999, "docker_cores": 4}, "memory"),
        ({"cpu_shares": 1023, "docker_cores": 4}, "cpu_shares"),
        ({"sqs_dead_letter_queue": "DistributedCPQueue"}, "sqs_dead_letter_queue"),
        ({"sqs_queue_name": "q", "sqs_dead_letter_queue": "q"}, "sqs_dead_letter_queue"),
        ({"download_files": False, "source_bucket": "my.images"}, "source_bucket"),
        ({"download_files": False, "aws_bucket": "my.bucket"}, "aws_bucket"),
        ({"update_plugins": True}, "update_plugins"),
        ({"plugins_commit": "abc"}, "plugins_commit"),
        ({"install_requirements": True}, "install_requirements"),
        ({"use_plugins": True, "requirements": "flowjax"}, "requirements"),
        ({"aws_profile": "lab", "aws_credentials": {"profile_name": "other"}}, "aws_profile"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], key: str) -> None:
    assert refusal(**settings).startswith(f"c.yaml: {key}: ")


@pytest.mark.parametrize(
    "settings",
    [
        {"ebs_vol_size": 30, "tasks_per_machine": 10},
        {"memory": 2000, "docker_cores": 4},
        {"cpu_shares": 1024, "docker_cores": 4},
        {"download_files": True, "source_bucket": "my.images"},
        {"download_files": False, "aws_bucket": "my.bucket", "source_bucket": "images"},
        {"use_plugins": True, "install_requirements": True, "requirements": "flowjax"},
        {"aws_profile": "lab", "aws_credentials": {"profile_name": "lab"}},
        {"sqs_queue_name": "", "log_group_name": ""},
    ],
)
def test_settings_at_the_limit_are_accepted(settings: dict[str, Any]) -> None:
    config(**settings)


def test_every_broken_rule_is_reported_at_once() -> None:
    text = refusal(memory=500, requirements="x", ebs_vol_size=30, tasks_per_machine=20)
    assert [line.split(": ")[1] for line in text.splitlines()] == [
        "ebs_vol_size",
        "memory",
        "requirements",
    ]


@given(st.integers(1, 40), st.integers(22, 500))
def test_disk_rule_is_dcps(tasks: int, size: int) -> None:
    try:
        accepted = config(tasks_per_machine=tasks, ebs_vol_size=size)
    except ValidationError:
        assert size / tasks - 2 < 1
    else:
        assert accepted.disk_per_container >= 1


def test_sizes() -> None:
    sized = config(cluster_machines=5, tasks_per_machine=2, docker_cores=3)
    assert (sized.containers, sized.cpu_units) == (10, 3072)


def test_a_config_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValidationError):
        config().app_name = "Other"


def test_credentials_take_region_and_profile_of_the_config() -> None:
    plain = config(aws_region="eu-west-1", aws_credentials={"region_name": "us-east-1"})
    assert plain.credentials.region_name == "eu-west-1"
    assert plain.credentials.profile_name is None
    assert config(aws_profile="lab").credentials.profile_name == "lab"
    assert config(aws_profile="default").credentials.profile_name is None


def test_a_dumped_config_can_be_read_back() -> None:
    before = config(source_bucket="images", cpu_shares=2048)
    assert RunConfig.model_validate(before.model_dump()).model_dump() == before.model_dump()


def test_a_plain_config_becomes_a_block_with_its_set_fields() -> None:
    credentials = AwsCredentials(profile_name="lab")
    plain = config(memory=9000).model_copy(
        update={"aws_credentials": credentials, "app_name": "Other"}
    )
    block = block_of(RunConfigBlock, plain)
    assert (block.memory, block.app_name) == (9000, "Other")
    assert block.aws_credentials is credentials, "a saved block stays a reference"
    assert block.model_fields_set == plain.model_fields_set


SECRET, TOKEN = "wJalrXUtnFEMI", "FwoGZXIvYXdzE"


@pytest.mark.parametrize("kind", [RunConfig, RunConfigBlock])
def test_secrets_are_masked_everywhere(kind: type[RunConfig]) -> None:
    credentials = AwsCredentials(
        aws_access_key_id="AKIA", aws_secret_access_key=SECRET, aws_session_token=TOKEN
    )
    loaded = kind(**BASE, aws_credentials=credentials)
    views = [repr(loaded), str(loaded), str(loaded.model_dump()), loaded.model_dump_json()]
    assert not any(word in view for view in views for word in (SECRET, TOKEN))
    assert getattr(loaded.credentials, "aws_session_token", "") == TOKEN


@pytest.mark.parametrize(
    "broken",
    [
        {"memory": 1},
        {"unknown": 1},
        {"ebs_vol_size": 30, "tasks_per_machine": 20},
        {"aws_credentials": {"aws_secret_access_key": [SECRET], "aws_session_token": [TOKEN]}},
        {"aws_profile": "lab"},
    ],
)
def test_errors_never_show_secrets(broken: dict[str, Any]) -> None:
    keys = {"aws_secret_access_key": SECRET, "aws_session_token": TOKEN}
    settings = {"aws_credentials": {"aws_access_key_id": "AKIA", **keys}, **broken}
    with pytest.raises(ValidationError) as raw:
        config(**settings)
    for text in (refusal(**settings), str(raw.value)):
        assert SECRET not in text
        assert TOKEN not in text


def test_the_form_has_groups_titles_descriptions_and_units() -> None:
    properties = RunConfig.model_json_schema()["properties"]
    assert list(properties) == list(RunConfig.model_fields)
    assert all(form["description"] and ": " in form["title"] for form in properties.values())
    assert "Unit: MB" in properties["memory"]["description"]
    groups = [form["group"] for form in properties.values()]
    assert groups == sorted(groups, key=groups.index), "a group is in one piece"
    assert list(RunConfigBlock.model_fields) == list(properties), "the form has the same order"


def test_no_module_of_blocks_postpones_annotations() -> None:
    """Prefect cannot serve a flow whose pydantic parameters have postponed annotations."""
    for path in (ROOT / "blocks").rglob("*.py"):
        imports = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ImportFrom)]
        assert all(statement.module != "__future__" for statement in imports), path
