"""What `dcp local run` and `dcp local up` have in common: the image's stand-in, the account's."""

from pathlib import Path

from prefect_aws import AwsClientParameters, AwsCredentials
from pydantic import SecretStr

from blocks.errors import NotFound, Problem
from deployments.local.aws import Emulator

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


def credentials_of(emulator: Emulator, region: str) -> AwsCredentials:
    """The credentials block with which everything reaches the emulator instead of AWS."""
    return AwsCredentials(
        aws_access_key_id="local",
        aws_secret_access_key=SecretStr("local"),
        region_name=region,
        aws_client_parameters=AwsClientParameters(endpoint_url=emulator.endpoint_url),
    )
