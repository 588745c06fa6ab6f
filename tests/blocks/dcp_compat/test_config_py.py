"""Distributed-CellProfiler's config.py, from 1.x to 2.2, keeps its meaning."""

from pathlib import Path

import pytest

from blocks.dcp_compat.config_py import read_dcp_config
from blocks.dcp_compat.remarks import Kind
from blocks.errors import ConfigError
from blocks.loading.load import load_config, parse_config
from blocks.run_config.model import RunConfig

FILES = Path(__file__).parents[2] / "support" / "dcp_files"
LEAST = "AWS_BUCKET = 'lab-bucket'\nDOCKERHUB_TAG = 'lab/worker:1'\n"


def config(text: str) -> RunConfig:
    return parse_config(LEAST + text, "config.py")


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config(text)
    return str(caught.value)


def remarks(text: str, kind: Kind | None = None) -> dict[str, str]:
    all_remarks = read_dcp_config(LEAST + text, "config.py").remarks
    return {remark.key: remark.text for remark in all_remarks if kind in (None, remark.kind)}


def of_file(name: str) -> RunConfig:
    text = (FILES / name / "config.py").read_text()
    return parse_config(text, "config.py", defaults={"dockerhub_tag": "lab/worker:1"})


def test_the_file_of_2_2() -> None:
    read = of_file(".")
    assert read.app_name == "ColonScreen_Analysis"
    assert read.names.queue == "ColonScreen_AnalysisQueue"
    assert read.names.dead_letter_queue == "imaging_DeadMessages"
    assert (read.images_bucket, read.workspace, read.outputs_bucket) == (
        "colon-screen-images",
        "colon-screen",
        "colon-screen",
    )
    assert read.machine_type == ["m5.xlarge", "m5a.xlarge"]
    assert (read.memory, read.sqs_message_visibility, read.cpu_units) == (7000, 120, 1024)
    assert (read.download_files, read.job_retries, read.create_dashboard) == (True, 3, True)
    assert read.upload_arguments == {"ACL": "bucket-owner-full-control"}
    assert (read.aws_profile, read.plugins_commit) == (None, None)


def test_the_file_of_the_example_project() -> None:
    read = of_file("example_project")
    assert (read.download_files, read.job_retries) == (False, 10)
    assert (read.check_if_done_bool, read.expected_number_files) == (True, 4)
    assert (read.seconds_to_start, read.sqs_message_visibility) == (180, 600)
    assert read.requirements is None


def test_the_file_with_a_public_bucket_and_plugins() -> None:
    read = of_file("example_project_CPG")
    assert (read.images_bucket, read.workspace) == ("public-plates", "your-bucket-name")
    assert (read.aws_profile, read.cpu_units, read.containers) == ("imaging", 2048, 10)
    assert (read.plugins_commit, read.requirements) == ("v1.0.0", "requirements/segmenting.txt")


def test_the_file_of_1_x() -> None:
    read = of_file("release_1")
    assert read.buckets() == ("liver-screen",)
    assert read.names.dead_letter_queue == "LiverDeadMessages"
    assert (read.download_files, read.job_retries) == (False, 10)
    assert (read.create_dashboard, read.clean_dashboard) == (False, False)
    assert (read.cpu_units, read.use_plugins) == (4096, False)


@pytest.mark.parametrize("name", [".", "example_project", "example_project_CPG", "release_1"])
def test_every_name_follows_the_app_s(name: str) -> None:
    read = of_file(name).model_copy(update={"app_name": "Another"})
    assert (read.names.queue, read.names.log_group) == ("AnotherQueue", "Another")


def test_names_of_their_own_stay() -> None:
    read = config("APP_NAME = 'Lab'\nSQS_QUEUE_NAME = 'Shared'\nLOG_GROUP_NAME = APP_NAME + 's'")
    assert (read.names.queue, read.names.log_group) == ("Shared", "Labs")
    assert config("DOCKER_CORES = 2\nCPU_SHARES = 1024").cpu_units == 1024


def test_the_start_delay_defaults_to_dcps() -> None:
    assert config("").seconds_to_start == 180
    assert config("SECONDS_TO_START = 0").seconds_to_start == 0


def test_a_file_is_recognised_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "config_illum.py").write_text(LEAST + "MEMORY = 4*1000\nDOCKER_CORES = 1")
    assert load_config(str(tmp_path / "config_illum.py")).memory == 4000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EBS_VOL_SIZE = 12", "config.py:3: EBS_VOL_SIZE: is too small, got 12"),
        ("\nMACHINE_TYPE = ['large']", "config.py:4: MACHINE_TYPE[1]: is not an EC2 machine type"),
        ("AWS_BUCKET = 'b-1'\nAWS_BUCKET = 's3://b-1'", "config.py:4: AWS_BUCKET: is not a bucket"),
        ("UPLOAD_FLAGS = '--colour red'", "config.py:3: UPLOAD_FLAGS: has the unknown flag"),
        ("SOURCE_BUCKET = 'a.b'", "config.py:3: SOURCE_BUCKET: cannot be mounted"),
        ("MEMORY = 600", "config.py:3: MEMORY: is too small for 4 CellProfiler"),
        ("CLUSTER_MACHINE = 3", "config.py:3: CLUSTER_MACHINE: is not a known key. Did you mean"),
        ("cluster_machines = 3", "Did you mean CLUSTER_MACHINES?"),
        ("DOWNLOAD_FILES = 'yes'", "config.py:3: DOWNLOAD_FILES: is not a switch, got 'yes'"),
        ("CHECK_IF_DONE_BOOL = 1", "config.py:3: CHECK_IF_DONE_BOOL: is not a switch, got 1"),
        (
            "DOCKERHUB_TAG = 'cellprofiler/distributed-cellprofiler:2.2.0_4.2.8'",
            "config.py:3: DOCKERHUB_TAG: is the worker of Distributed-CellProfiler",
        ),
    ],
)
def test_mistakes_are_reported_with_lines_and_keys_of_the_file(text: str, expected: str) -> None:
    assert expected in refusal(text)


def test_missing_settings_are_reported_by_key() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config("APP_NAME = 'Lab'", "config.py")
    text = str(caught.value)
    assert "config.py: AWS_BUCKET: is missing" in text
    assert "config.py: DOCKERHUB_TAG: is missing" in text


def test_all_mistakes_are_reported_at_once() -> None:
    text = refusal("EBS_VOL_SIZE = 12\nMEMORY = 'much'\nAWS_REGION = 'here'\n")
    assert [line.split(": ")[1] for line in text.splitlines()] == [
        "AWS_REGION",
        "EBS_VOL_SIZE",
        "MEMORY",
    ]


def test_keys_without_effect_are_reported_and_the_file_is_accepted() -> None:
    text = "AUTO_MONITOR = 'perhaps'\nSSH_KEY_NAME = ['a', 'b']\nMEMORY = 9000\n"
    assert config(text).memory == 9000
    ignored = remarks(text, Kind.NO_COUNTERPART)
    assert {"AUTO_MONITOR", "SSH_KEY_NAME"} <= ignored.keys()
    assert "SSH_KEY_NAME" not in remarks("SSH_KEY_NAME = ''")


def test_helper_variables_are_no_keys() -> None:
    text = "PLATE = 'P1'\nAPP_NAME = PLATE + '_Analysis'\nNOTE = 'mine'\n"
    assert config(text).app_name == "P1_Analysis"
    ignored = remarks(text, Kind.NO_COUNTERPART)
    assert "NOTE" in ignored
    assert "PLATE" not in ignored


def test_dcp_keys_are_accepted_in_upper_case() -> None:
    assert config("MAX_HOURS = 5\nWARM = 'False'").max_hours == 5


def test_switches_are_read_as_dcp_does() -> None:
    assert config("DOWNLOAD_FILES = 'TRUE'\nAUTO_MONITOR = 'false'").download_files is True
    assert config("DOWNLOAD_FILES = False").download_files is False


def test_false_means_that_a_text_is_not_set() -> None:
    read = config("SOURCE_BUCKET = 'False'\nNECESSARY_STRING = 'False'\nUPLOAD_FLAGS = False\n")
    assert (read.images_bucket, read.necessary_string) == ("lab-bucket", "")
    assert read.upload_arguments == {}


@pytest.mark.parametrize(
    "queue",
    [
        "arn:aws:sqs:us-east-1:123456789012:Dead",
        "https://sqs.us-east-1.amazonaws.com/123456789012/Dead",
        "Dead",
    ],
)
def test_the_dead_letter_queue_is_a_name(queue: str) -> None:
    text = f"SQS_DEAD_LETTER_QUEUE = {queue!r}"
    assert config(text).names.dead_letter_queue == "Dead"
    assert ("SQS_DEAD_LETTER_QUEUE" in remarks(text, Kind.DIFFERS)) == (queue != "Dead")


def test_plugin_settings_that_dcp_ignores_do_not_matter() -> None:
    text = "USE_PLUGINS = 'False'\nUPDATE_PLUGINS = 'True'\nREQUIREMENTS = 'cellpose'\n"
    read = config(text)
    assert (read.update_plugins, read.requirements) == (False, None)
    assert {"UPDATE_PLUGINS", "REQUIREMENTS"} <= remarks(text, Kind.NO_COUNTERPART).keys()
    both = "USE_PLUGINS = 'True'\nINSTALL_REQUIREMENTS = 'False'\nREQUIREMENTS = 'cellpose'\n"
    assert config(both).requirements is None


def test_the_new_name_of_a_key_counts() -> None:
    plugins = "USE_PLUGINS = 'True'\nINSTALL_REQUIREMENTS = 'True'\n"
    assert config(plugins + "REQUIREMENTS_FILE = 'old.txt'").requirements == "old.txt"
    both = plugins + "REQUIREMENTS_FILE = 'old.txt'\nREQUIREMENTS = 'new'"
    assert config(both).requirements == "new"
    assert "REQUIREMENTS_FILE" in remarks(both, Kind.NO_COUNTERPART)


@pytest.mark.parametrize(
    ("text", "key", "kind"),
    [
        ("AWS_BUCKET = 'your-bucket-name'", "AWS_BUCKET", Kind.FILL_IN),
        ("SOURCE_BUCKET = 'bucket-name'", "SOURCE_BUCKET", Kind.FILL_IN),
        ("SQS_DEAD_LETTER_QUEUE = 'user_DeadMessages'", "SQS_DEAD_LETTER_QUEUE", Kind.FILL_IN),
        (
            "SQS_DEAD_LETTER_QUEUE = 'arn:aws:sqs:some-region:111111100000:DeadMessages'",
            "SQS_DEAD_LETTER_QUEUE",
            Kind.FILL_IN,
        ),
        ("DOCKERHUB_TAG = 'lab/my-worker:2'", "DOCKERHUB_TAG", Kind.FILL_IN),
        ("DOCKERHUB_TAG = 'lab/distributed-cellprofiler:2'", "DOCKERHUB_TAG", Kind.FILL_IN),
        ("", "MACHINE_TYPE", Kind.FILL_IN),
        ("", "DOWNLOAD_FILES", Kind.DIFFERS),
        ("", "JOB_RETRIES", Kind.DIFFERS),
        ("JOB_RETRIES = 3", "JOB_RETRIES", Kind.DIFFERS),
        ("DOWNLOAD_FILES = 'False'", "DOWNLOAD_FILES", Kind.DIFFERS),
        ("SQS_MESSAGE_VISIBILITY = 60", "SQS_MESSAGE_VISIBILITY", Kind.DIFFERS),
        ("AWS_PROFILE = 'lab'", "AWS_PROFILE", Kind.DIFFERS),
        ("MEMORY = 5000\nMEMORY = 6000", "MEMORY", Kind.DIFFERS),
        ("AUTO_MONITOR = 'True'", "AUTO_MONITOR", Kind.NO_COUNTERPART),
        ("SSH_KEY_NAME = 'lab.pem'", "SSH_KEY_NAME", Kind.NO_COUNTERPART),
        ("SCRIPT_DOWNLOAD_URL = 'x'", "SCRIPT_DOWNLOAD_URL", Kind.NO_COUNTERPART),
        ("DOCKER_BASE_SIZE = 10", "DOCKER_BASE_SIZE", Kind.NO_COUNTERPART),
    ],
)
def test_differences_are_reported(text: str, key: str, kind: Kind) -> None:
    assert key in remarks(text, kind)


def test_the_good_file_has_nothing_to_fill_in_but_the_image() -> None:
    text = (FILES / "config.py").read_text()
    all_remarks = read_dcp_config(text, "config.py").remarks
    assert [remark.key for remark in all_remarks if remark.kind is Kind.FILL_IN] == [
        "DOCKERHUB_TAG"
    ]


def test_keys_of_an_account_are_neither_imported_nor_shown() -> None:
    text = "AWS_ACCESS_KEY_ID = 'AKIAIOSFODNN7'\nAWS_SECRET_ACCESS_KEY = 'wJalrXUtnFEMI'\n"
    read = read_dcp_config(LEAST + text, "config.py")
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= {remark.key for remark in read.remarks}
    assert "wJalrXUtnFEMI" not in f"{read.values} {[str(remark) for remark in read.remarks]}"
    assert "wJalrXUtnFEMI" not in refusal(text + "EBS_VOL_SIZE = 1")
