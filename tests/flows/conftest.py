"""The flows stand on a real Prefect server and on the emulator, with a stand-in for the worker."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab import Lab
from prefect.settings import get_current_settings
from prefect.testing.utilities import prefect_test_harness

from blocks.reading import load_config
from deployments.local.aws import Emulator, start_emulator
from deployments.local.buckets import make_bucket
from deployments.local.prefect_server import child
from deployments.local.prefect_server import prefect as prefect_command
from tasks.aws import Aws

PROJECT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parents[1] / "support" / "stand_in_worker.py"


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def pool(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All deployments, and a worker that runs them in processes of their own."""
    folder = tmp_path_factory.mktemp("worker")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PREFECT_API_URL", str(get_current_settings().api.url))
        patched.setenv("PREFECT_HOME", str(folder))
        patched.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
        for command in (
            ("work-pool", "create", "dcp", "--type", "process"),
            ("--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml"),
        ):
            subprocess.run(prefect_command(*command), cwd=PROJECT, check=True, capture_output=True)
        worker = prefect_command("worker", "start", "--pool", "dcp", "--type", "process")
        with child(worker, folder / "worker.log", PROJECT):
            yield


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with start_emulator(
        tmp_path_factory.mktemp("aws"),
        Path(sys.executable),
        container_command=[str(STAND_IN)],
        boot_seconds=0.2,
        shutdown_seconds=1,
    ) as running:
        yield running


@pytest.fixture
def make_lab(
    prefect: None, emulator: Emulator, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., Lab]:
    """Makes an app whose bucket is there."""

    def make(endpoint_url: str = emulator.endpoint_url, **settings: Any) -> Lab:
        name = "".join(filter(str.isalnum, request.node.name.removeprefix("test").title()))[:30]
        values = {
            "app_name": name,
            "dockerhub_tag": "lab/worker:1",
            "aws_bucket": f"{name.lower()}-bucket",
            "ecs_cluster": name,
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
