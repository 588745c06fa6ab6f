"""moto's server as an AWS account with AWS's managed policies."""

from collections.abc import Iterator

import moto_account
import pytest
from prefect_aws import AwsCredentials

from tasks.account.setup_config import AccountAws, Setup, open_setup

REGION = "us-east-1"


@pytest.fixture(scope="package")
def moto_url() -> Iterator[str]:
    with moto_account.server() as url:
        yield url


@pytest.fixture(scope="package")
def credentials(moto_url: str) -> AwsCredentials:
    return AwsCredentials(
        aws_access_key_id="local",
        aws_secret_access_key="local",
        aws_client_parameters={"endpoint_url": moto_url},
    )


@pytest.fixture(scope="package")
def clients(credentials: AwsCredentials) -> AccountAws:
    return AccountAws.connect(credentials, REGION)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a bucket of an account that is the test's own, and empty."""
    return f"lab-{moto_account.empty(monkeypatch)}"


@pytest.fixture
def aws(clients: AccountAws, bucket: str) -> AccountAws:
    """An account with nothing but a bucket."""
    clients.s3.create_bucket(Bucket=bucket)
    return clients


@pytest.fixture
def setup(aws: AccountAws, bucket: str) -> Setup:
    return open_setup(aws, REGION, overrides={"bucket": bucket})
