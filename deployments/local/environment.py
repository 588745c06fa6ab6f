"""What `dcp local run` and `dcp local up` have in common: the image's stand-in, the account's."""

import os
from pathlib import Path

from prefect_aws import AwsClientParameters, AwsCredentials
from pydantic import SecretStr

from blocks.errors import NotFound, Problem
from deployments.local.emulator_client import Emulator

CREDENTIALS = "dcp-local"
PROJECT = Path(__file__).resolve().parents[2]


def worker_python() -> Path:
    """The interpreter of the worker's environment, which stands for the container image.

    Raises:
        NotFound: It was not made yet.
    """
    python = PROJECT / ".venv-worker" / "bin" / "python"
    if not python.is_file():
        raise NotFound(
            Problem(str(python), "", "the worker's environment is missing", remedy="`make env`.")
        )
    return python


def leave_account() -> None:
    """Take what leads to a real account, or through a proxy, out of this process's environment.

    A profile that is set but not there is an error in botocore even beside given keys, and it asks
    a proxy for 127.0.0.1 too.
    """
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        del os.environ[name]
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        os.environ[name] = os.devnull
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))


def credentials_of(emulator: Emulator, region: str) -> AwsCredentials:
    """The credentials block with which everything reaches the emulator instead of AWS."""
    return AwsCredentials(
        aws_access_key_id="local",
        aws_secret_access_key=SecretStr("local"),
        region_name=region,
        aws_client_parameters=AwsClientParameters(endpoint_url=emulator.endpoint_url),
    )
