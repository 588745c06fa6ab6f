"""The examples in docs/account.md are valid as they are."""

import re
from pathlib import Path

import pytest
import yaml

from blocks import RunConfig
from blocks.loading.load import load_config

TEXT = (Path(__file__).parents[3] / "docs" / "account.md").read_text(encoding="utf-8")
EXAMPLES = [example for example in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]


def loaded(example: str, folder: Path) -> RunConfig:
    values = yaml.safe_load(example)
    run = {"app_name": "Lab", "dockerhub_tag": "lab/worker:1"}
    buckets = {"aws_bucket": "lab-bucket"} | values.get("buckets", {})
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values | {"run": run, "buckets": buckets}))
    return load_config(str(path))


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_a_valid_config(example: str, tmp_path: Path) -> None:
    assert loaded(example, tmp_path).aws_bucket == "lab-bucket"


def test_a_public_bucket_is_read_without_credentials(tmp_path: Path) -> None:
    (public,) = [example for example in EXAMPLES if "cellpainting-gallery" in example]
    config = loaded(public, tmp_path)
    assert config.images_bucket == "cellpainting-gallery"
    assert config.no_sign_request
    assert config.workspace == config.outputs_bucket == "lab-bucket"


def test_outputs_in_a_collaborators_bucket_belong_to_its_owner(tmp_path: Path) -> None:
    (theirs,) = [example for example in EXAMPLES if "bucket-owner-full-control" in example]
    config = loaded(theirs, tmp_path)
    assert config.workspace == config.outputs_bucket == "their-bucket"
    assert config.upload_arguments["ACL"] == "bucket-owner-full-control"
