"""moto's server as an account of AWS that knows AWS's managed policies."""

import itertools
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer
from prefect_aws import AwsCredentials

from tasks.account.setup import AccountAws, Setup, open_setup

REGION = "us-east-1"


@pytest.fixture(scope="package")
def moto_url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


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


accounts = itertools.count(100_000_000_000)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a bucket of an account that is the test's own, and empty."""
    account = str(next(accounts))
    monkeypatch.setenv("MOTO_ACCOUNT_ID", account)  # moto's server is in this process
    return f"lab-{account}"


@pytest.fixture
def aws(clients: AccountAws, bucket: str) -> AccountAws:
    """An account with nothing but a bucket."""
    clients.s3.create_bucket(Bucket=bucket)
    return clients


@pytest.fixture
def setup(aws: AccountAws, bucket: str) -> Setup:
    return open_setup(aws, REGION, given={"bucket": bucket})
