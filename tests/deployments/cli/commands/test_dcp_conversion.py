"""`dcp import` writes files with the same meaning as DCP's, and overwrites nothing."""

import json
import shlex
import tempfile
from itertools import permutations
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.job_file.model import parse_job_file
from blocks.loading.load import load_config, load_fleet, parse_config
from blocks.rendering.yaml_writer import on_one_line
from blocks.run_config.model import RunConfig
from deployments.cli.commands.dcp_conversion import CONFIG, FLEET, JOB, read_files, texts_of
from deployments.cli.main import main

DCP = Path(__file__).parents[3] / "support" / "dcp_files"
FILES = DCP / "files"
JOB_FILE = FILES / "exampleJob.json"
IMAGE = {"dockerhub_tag": "lab/worker:1"}


def imported(*arguments: object) -> int:
    return main(["import", *map(str, arguments)])


@pytest.mark.parametrize("name", [".", "example_project", "example_project_CPG", "release_1"])
def test_the_config_means_the_same(name: str, tmp_path: Path) -> None:
    source = DCP / name / "config.py"
    assert imported(source, "--output", tmp_path) == 0
    written = parse_config((tmp_path / CONFIG).read_text(), CONFIG, defaults=IMAGE)
    assert written == parse_config(source.read_text(), "config.py", defaults=IMAGE)


@pytest.mark.parametrize(
    "source", [JOB_FILE, DCP / "example_project" / "files" / "exampleJob.json"]
)
def test_the_jobs_are_the_same(source: Path, tmp_path: Path) -> None:
    assert imported(DCP / "config.py", source, "--output", tmp_path) == 0
    written = parse_job_file((tmp_path / JOB).read_text(), JOB)
    assert written == parse_job_file(source.read_text(), "job.json")


def test_values_of_groups_stay_as_written(tmp_path: Path) -> None:
    groups = [{"Metadata_Plate": "007", "Metadata_Well": "NO"}]
    job = json.loads(JOB_FILE.read_text()) | {"output_structure": "Metadata_Plate"}
    (tmp_path / "job.json").write_text(json.dumps(job | {"groups": groups}))
    assert imported(DCP / "config.py", tmp_path / "job.json", "--output", tmp_path) == 0
    written = parse_job_file((tmp_path / JOB).read_text(), JOB)
    assert written.groups == groups


def test_the_files_may_come_in_any_order(tmp_path: Path) -> None:
    files = (DCP / "config.py", FILES / "exampleFleet_us-west-2.json", JOB_FILE)
    for order in permutations(files):
        assert imported(*order, "--output", tmp_path, "--force") == 0
        assert load_fleet(str(tmp_path / FLEET)).key_name == "screening"
        assert (tmp_path / JOB).is_file()


def test_examples_that_nobody_filled_in_become_files_that_can_be_read(tmp_path: Path) -> None:
    fleet = FILES / "exampleFleet_us-east-1.json"
    assert imported(DCP / "config.py", fleet, "--output", tmp_path) == 0
    assert load_fleet(str(tmp_path / FLEET)) == load_fleet(None)
    # Like in an editor: remove the comment sign, replace the value.
    text = (tmp_path / CONFIG).read_text()
    (line,) = [line for line in text.splitlines() if "# dockerhub_tag:" in line]
    (tmp_path / CONFIG).write_text(text.replace(line, line.replace("# ", "")))
    assert load_config(str(tmp_path / CONFIG)).app_name == "ColonScreen_Analysis"


def test_a_fleet_without_public_addresses_keeps_them_away(tmp_path: Path) -> None:
    fleet = json.loads((FILES / "exampleFleet_us-west-2.json").read_text())
    interface = fleet["LaunchSpecifications"][0]["NetworkInterfaces"][0]
    interface["AssociatePublicIpAddress"] = False
    (tmp_path / "fleet.json").write_text(json.dumps(fleet))
    assert imported(DCP / "config.py", tmp_path / "fleet.json", "--output", tmp_path) == 0
    config = parse_config((tmp_path / CONFIG).read_text(), CONFIG, defaults=IMAGE)
    assert config.assign_ip is False


def test_differences_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = DCP / "release_1" / "config.py"
    assert imported(source, FILES / "exampleFleet_us-east-1.json", "--output", tmp_path) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / CONFIG) in said
    for key in (
        "DOCKERHUB_TAG",
        "SQS_DEAD_LETTER_QUEUE",
        "SSH_KEY_NAME",
        "IamFleetRole",
        "SubnetId",
    ):
        assert key in said
    number = source.read_text().splitlines().index('SSH_KEY_NAME = "liver.pem"') + 1
    assert f"config.py:{number}: SSH_KEY_NAME" in said
    assert f"dcp check --config {tmp_path / CONFIG}" in said


def test_existing_files_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / JOB).write_text("mine")
    arguments = [DCP / "config.py", JOB_FILE, "--output", tmp_path]
    assert imported(*arguments) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / JOB) in said
    assert "--force" in said
    assert [path.name for path in tmp_path.iterdir()] == [JOB]
    assert imported(*arguments, "--force") == 0
    assert (tmp_path / JOB).read_text() != "mine"


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert imported(DCP / "config.py", "--output", tmp_path / "file") == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("config.py", "import os", "config.py:1: has an import"),
        ("config.py", "AWS_BUCKET = 'lab'\nEBS_VOL_SIZE = 2", "config.py:2: EBS_VOL_SIZE"),
        ("config.py", "APP_NAME = 'Lab'", "AWS_BUCKET: is missing"),
        ("config.yaml", "app_name: Lab", "is not a config.py"),
        ("job.json", "{", "job.json:1"),
        ("job.json", '{"pipeline": "p.cppipe"}', "data_file"),
        ("fleet.json", '{"LaunchSpecifications": [', "fleet.json:1"),
    ],
)
def test_bad_input_writes_nothing(
    name: str, text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(text)
    files = [tmp_path / name]
    if not name.startswith("config"):
        files.insert(0, DCP / "config.py")
    assert imported(*files, "--output", tmp_path / "new") == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_all_files_mistakes_are_reported_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.py").write_text("import os")
    (tmp_path / "job.json").write_text("{")
    assert imported(tmp_path / "config.py", tmp_path / "job.json", tmp_path / "no.json") == 2
    said = capsys.readouterr().err
    assert all(name in said for name in ("config.py:1", "job.json:1", "no.json"))


def test_the_next_commands_can_be_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new dir"
    assert imported(DCP / "config.py", JOB_FILE, "--output", folder) == 0
    said = capsys.readouterr().out
    (line,) = (line for line in said.splitlines() if line.strip().startswith("dcp check"))
    words = shlex.split(line, comments=True)
    assert words[2:] == ["--config", str(folder / CONFIG), "--job", str(folder / JOB)]


def test_two_of_a_kind_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(DCP / "config.py", JOB_FILE, JOB_FILE, "--output", tmp_path) == 2
    assert "second job file" in capsys.readouterr().err
    assert imported(DCP / "config.py", DCP / "config.py", "--output", tmp_path) == 2
    assert "second config.py" in capsys.readouterr().err


def test_groups_in_a_file_beside_the_job_file_are_brought_too(tmp_path: Path) -> None:
    keys = {"pipeline": "b.h5", "data_file": "b.h5", "output": "out", "groups": "groups.json"}
    (tmp_path / "job.json").write_text(json.dumps({**keys, "output_structure": "Well"}))
    (tmp_path / "groups.json").write_text('[[{"Well": "A01"}, [1, 2]], [{"Well": "A02"}, [3]]]')
    new = tmp_path / "new"
    assert imported(DCP / "config.py", tmp_path / "job.json", "--output", new) == 0
    brought = parse_job_file((new / "job.yaml").read_text(), "job.yaml")
    assert brought.groups == [{"Well": "A01"}, {"Well": "A02"}]


MARKS = st.sampled_from("\n\r\t\x07\x7f\x85\u2028\ufeff #:,-?&*!|>%@`'\"\\[]{}~=0")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | MARKS, max_size=20)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}", fullmatch=True)
SWITCHES = st.sampled_from(["True", "False", "true", "FALSE", True, False])
KEYS: dict[str, st.SearchStrategy[Any]] = {
    "APP_NAME": NAMES,
    "LOG_GROUP_NAME": NAMES,
    "SQS_QUEUE_NAME": NAMES,
    "SQS_DEAD_LETTER_QUEUE": NAMES.map(lambda name: f"arn:aws:sqs:us-east-1:123456789012:{name}d"),
    "AWS_PROFILE": TEXTS,
    "SSH_KEY_NAME": TEXTS | NAMES.map(lambda name: f"{name}.pem"),
    "SOURCE_BUCKET": st.sampled_from(["False", "", "lab-images", "bucket-name"]),
    "UPLOAD_FLAGS": st.sampled_from(["", "False", "--acl private", "--metadata a=b,c=d"]),
    "CLUSTER_MACHINES": st.integers(1, 500),
    "MACHINE_TYPE": st.lists(
        st.sampled_from(["m5.xlarge", "c5.xlarge", "c6i.4xlarge"]), unique=True, min_size=1
    ),
    "MACHINE_PRICE": st.floats(0.01, 10) | st.integers(1, 5),
    "EBS_VOL_SIZE": st.integers(22, 500),
    "DOWNLOAD_FILES": SWITCHES,
    "ASSIGN_IP": SWITCHES,
    "DOCKER_CORES": st.integers(1, 8),
    "CPU_SHARES": st.sampled_from([2048, 4096, 8192]),
    "SECONDS_TO_START": st.integers(0, 600),
    "JOB_RETRIES": st.integers(1, 20),
    "CHECK_IF_DONE_BOOL": SWITCHES,
    "NECESSARY_STRING": TEXTS,
    "USE_PLUGINS": SWITCHES,
    "PLUGINS_COMMIT": TEXTS,
    "INSTALL_REQUIREMENTS": SWITCHES,
    "REQUIREMENTS_FILE": TEXTS,
    "MAX_HOURS": st.integers(1, 100),
}


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=KEYS))
def test_any_config_means_the_same_once_written(values: dict[str, Any]) -> None:
    lines = [f"{key} = {value!r}" for key, value in values.items()]
    text = "\n".join(["AWS_BUCKET = 'lab-bucket'", *lines])
    direct = parse_config(text, "config.py", defaults=IMAGE)
    assert parse_config(written_config(text), CONFIG, defaults=IMAGE) == direct


def written_config(text: str) -> str:
    """The config that `dcp import` writes for a config.py."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "config.py"
        source.write_text(text, encoding="utf-8")
        return texts_of(read_files(str(source), []), Path(folder))[CONFIG]


SCALARS = st.none() | st.booleans() | st.integers() | TEXTS | st.floats(allow_nan=False)
VALUES = SCALARS | st.lists(SCALARS, max_size=4) | st.dictionaries(TEXTS, SCALARS, max_size=4)


@given(VALUES)
def test_a_value_on_one_line_stays_itself(value: Any) -> None:
    text = on_one_line(value)
    assert len(text.splitlines()) == 1
    assert yaml.safe_load(f"a:\n  b: {text} # note\n  c: 1") == {"a": {"b": value, "c": 1}}
    assert yaml.safe_load(f"a:\n  - {text}\n  - 1") == {"a": [value, 1]}


def test_editors_find_the_schemas_and_the_files_keep_to_them(tmp_path: Path) -> None:
    fleet = FILES / "exampleFleet_us-west-2.json"
    assert imported(DCP / "config.py", fleet, JOB_FILE, "--output", tmp_path) == 0
    for name in (CONFIG, FLEET, JOB):
        text = (tmp_path / name).read_text()
        place = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
        schema = json.loads((tmp_path / place).read_text())
        jsonschema.validate(yaml.safe_load(text), schema)


def test_every_setting_that_is_not_its_default_is_written() -> None:
    text = written_config((DCP / "config.py").read_text())
    settings_written = {key for section in yaml.safe_load(text).values() for key in section}
    assert settings_written <= RunConfig.model_fields.keys()
    direct = parse_config((DCP / "config.py").read_text(), "config.py", defaults=IMAGE)
    assert direct.model_fields_set - {"dockerhub_tag"} == settings_written
