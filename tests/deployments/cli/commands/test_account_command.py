"""`dcp account` on a computer that has only credentials."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import moto_account
import pytest

from deployments.cli.main import main

# One process: the fixtures are created once.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("moto")]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_account.server() as url:
        yield url


@pytest.fixture
def bucket(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"command-{moto_account.empty(monkeypatch)}"
    for key, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(key, value)
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
    return name


def dcp(*arguments: str) -> int:
    return main(["account", *arguments])


def test_create_check_destroy(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcp("check") == 2
    assert "--bucket" in capsys.readouterr().err
    assert dcp("create", "--bucket", bucket) == 0
    assert "task_role: arn:aws:iam::" in capsys.readouterr().out
    assert dcp("check") == 0
    role = "dcp-task-us-east-1"
    iam = boto3.client("iam", region_name="us-east-1")
    iam.delete_role_policy(RoleName=role, PolicyName="dcp")
    capsys.readouterr()
    assert dcp("check") == 1
    assert role in capsys.readouterr().err
    assert dcp("create") == 0
    assert dcp("check") == 0
    assert dcp("destroy") == 0
    assert dcp("check") == 2


def test_policies_are_printed_before_anything_is_created(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for whose in ("flows", "worker", "safety-net", "admin"):
        assert dcp("policy", whose, "--bucket", bucket) == 0
        assert bucket in json.dumps(json.loads(capsys.readouterr().out))


def test_the_policy_of_anothers_bucket_asks_aws_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    role = "arn:aws:iam::123456789012:role/dcp-task-us-east-1"
    assert dcp("bucket-policy", "--bucket", "theirs", "--role", role, "--write") == 0
    policy = json.loads(capsys.readouterr().out)
    assert {statement["Principal"]["AWS"] for statement in policy["Statement"]} == {role}


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--bucket", "s3://lab"),
        ("create", "--bucket", "lab-bucket", "--work-pool", "in-aws"),
        ("check", "--name", "Not A Name"),
        ("check", "--profile", "not-there"),
        ("bucket-policy", "--bucket", "theirs", "--role", "dcp-task"),
    ],
)
def test_bad_input_is_reported_on_one_line(
    arguments: tuple[str, ...], bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dcp(*arguments) == 2
    said = capsys.readouterr()
    assert said.err.strip()
    assert "Traceback" not in said.err + said.out
