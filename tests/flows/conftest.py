"""The flows stand on a real Prefect server and on the emulator, with a stand-in for the worker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab import Lab

from blocks.loading.load import load_config
from deployments.local.bucket_folders import make_bucket
from deployments.local.emulator_client import Emulator
from tasks.aws.clients import Aws


@pytest.fixture
def make_lab(
    prefect: None, emulator: Emulator, tmp_path: Path, app_name: str
) -> Callable[..., Lab]:
    """Makes an app whose bucket is there."""

    def make(endpoint_url: str = emulator.endpoint_url, **settings: Any) -> Lab:
        values = {
            "app_name": app_name,
            "dockerhub_tag": "lab/worker:1",
            "aws_bucket": f"{app_name.lower()}-bucket",
            "ecs_cluster": app_name,
            "cluster_machines": 2,
            "docker_cores": 1,
            "memory": 2000,
            "seconds_to_start": 0,
            "sqs_message_visibility": 15,
            "monitor_seconds": 1,
            "aws_credentials": {
                "aws_access_key_id": "local",
                "aws_secret_access_key": "local",
                "aws_client_parameters": {"endpoint_url": endpoint_url},
            },
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(values | settings))
        config = load_config(str(path))
        aws = Aws.connect(config.credentials, config.aws_region)
        make_bucket(aws.s3, config.aws_bucket, config.aws_region)
        return Lab(tmp_path, str(path), config, aws)

    return make


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()
