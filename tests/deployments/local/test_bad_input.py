"""`dcp local run` with bad input: exit status 2, an error with the place, and nothing started."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.cli.error_reporting import reporting_errors
from deployments.exit_status import ExitStatus
from deployments.local.run import LocalRunRequest, run

CONFIG: dict[str, Any] = {"app_name": "Lab", "dockerhub_tag": "x", "aws_bucket": "lab-bucket"}
JOB: dict[str, Any] = {
    "pipeline": "p/a.cppipe",
    "data_file": "p/a.csv",
    "input": "",
    "output": "out",
    "groups": [{"Metadata": "Metadata_Plate=P1,Metadata_Well=A01"}],
}


def group(text: str) -> dict[str, Any]:
    return JOB | {"groups": [{"Metadata": text}]}


def without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def error_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: Any, job: Any, **other: Any
) -> str:
    """Run with these files (values, or text); returns the error message."""
    for name, content in (("config.yaml", config), ("job.json", job)):
        is_text = isinstance(content, str)
        text = content if is_text else (yaml.safe_dump if "yaml" in name else json.dumps)(content)
        (tmp_path / name).write_text(text)
    (tmp_path / "data").mkdir(exist_ok=True)
    request = LocalRunRequest(
        config=str(tmp_path / "config.yaml"),
        job=str(tmp_path / "job.json"),
        data=tmp_path / "data",
        output=tmp_path / "output",
        fleet=None,
        report=None,
        home=tmp_path / "home",
        port=1,
    )
    assert reporting_errors(run)(replace(request, **other)) == ExitStatus.BAD_INPUT
    assert not (tmp_path / "home").exists(), "a server was started"
    assert not (tmp_path / "output").exists()
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (CONFIG | {"cluster_machine": 3}, ["cluster_machine", "cluster_machines"]),
        (CONFIG | {"cluster_machines": "many"}, ["cluster_machines", "many"]),
        (CONFIG | {"ebs_vol_size": 21}, ["ebs_vol_size", "21", "22"]),
        (CONFIG | {"sqs_message_visibility": 43_201}, ["sqs_message_visibility", "43201"]),
        (CONFIG | {"ebs_vol_size": 30, "tasks_per_machine": 15}, ["ebs_vol_size"]),
        (without(CONFIG, "aws_bucket"), ["aws_bucket"]),
        ("app_name: [1", ["config.yaml"]),
        ("aws_bucket: b-1\naws_bucket: b-2\n", ["aws_bucket", "twice"]),
        ("just some words", ["config.yaml"]),
    ],
)
def test_a_bad_config_is_reported_by_key(
    config: Any, names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = error_of(tmp_path, capsys, config, JOB)
    assert all(name in said for name in ["config.yaml", *names])


@pytest.mark.parametrize(
    ("job", "names"),
    [
        ("{not json", []),
        (without(JOB, "pipeline"), ["pipeline"]),
        (JOB | {"groups": []}, ["groups"]),
        (group("Metadata_Plate=P1, Metadata_Well=A01"), ["groups", "Metadata_Well"]),
        (JOB | {"groups": JOB["groups"] * 2}, ["groups"]),
        (group("Metadata_Plate=P1,Metadata_Well=../A01"), ["../A01"]),
        (group("Metadata_Plate=P/1,Metadata_Well=A01"), ["P/1"]),
        (JOB | {"groups": [{"Metadata_Plate": "P1"}]}, ["output_structure"]),
    ],
)
def test_a_bad_job_file_is_reported_by_key(
    job: Any, names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = error_of(tmp_path, capsys, CONFIG, job)
    assert all(name in said for name in ["job.json", *names])


def test_unwritable_results_are_reported_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("")
    for other in ({"output": file / "below"}, {"report": file / "r.json"}, {"report": tmp_path}):
        said = error_of(tmp_path, capsys, CONFIG, JOB, **other)
        assert str(next(iter(other.values()))).startswith(said.split(":")[0])
        assert f"--{next(iter(other))}" in said


def test_a_secret_in_a_config_that_is_refused_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = {"aws_credentials": {"aws_secret_access_key": "wJalrXUtnFEMI", "colour": "red"}}
    said = error_of(tmp_path, capsys, CONFIG | secret | {"cluster_machines": 0}, JOB)
    assert "wJalrXUtnFEMI" not in said


@pytest.mark.parametrize(
    ("switch", "names"),
    [
        ("errors=2", ["--chaos", "errors", "2", "0 to 1"]),
        ("lte=3", ["--chaos", "lte", "late"]),
        ("bogus=1", ["--chaos", "bogus", "interruptions", "seed"]),
    ],
)
def test_a_bad_switch_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], switch: str, names: list[str]
) -> None:
    text = error_of(tmp_path, capsys, CONFIG, JOB, chaos=(switch,))
    assert all(name in text for name in names)
