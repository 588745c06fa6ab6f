"""The parts that `dcp local run` and `dcp local up` share: the worker's Python, the credentials."""

import os
from pathlib import Path

from prefect_aws import AwsClientParameters, AwsCredentials
from pydantic import SecretStr

from blocks.errors import NotFound, Problem
from deployments.local.emulator_client import Emulator

CREDENTIALS = "dcp-local"
PROJECT = Path(__file__).resolve().parents[2]


def worker_python() -> Path:
    """The interpreter of the worker's environment, which stands in for the container image.

    Raises:
        NotFound: The environment does not exist yet.
    """
    python = PROJECT / ".venv-worker" / "bin" / "python"
    if not python.is_file():
        raise NotFound(
            Problem(
                str(python), "", "the worker's environment is missing", remedy="Run `make env`."
            )
        )
    return python


def leave_account() -> None:
    """Remove settings for a real account or a proxy from this process's environment.

    Even with explicit keys, botocore fails if the configured profile does not exist, and it uses a
    proxy for 127.0.0.1 too.
    """
    for name in [key for key in os.environ if key.startswith("AWS_")]:
        del os.environ[name]
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        os.environ[name] = os.devnull
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))


def credentials_of(emulator: Emulator, region: str) -> AwsCredentials:
    """The credentials block that directs all requests to the emulator instead of AWS."""
    return AwsCredentials(
        aws_access_key_id="local",
        aws_secret_access_key=SecretStr("local"),
        region_name=region,
        aws_client_parameters=AwsClientParameters(endpoint_url=emulator.endpoint_url),
    )
