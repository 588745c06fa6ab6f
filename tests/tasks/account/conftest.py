"""moto's server as an account of AWS that knows AWS's managed policies."""

import itertools
from collections.abc import Iterator

import boto3
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


numbers = itertools.count(100_000_000_000)


@pytest.fixture
def account() -> str:
    """The id of an account that is the test's own, and empty."""
    return str(next(numbers))


@pytest.fixture
def credentials(moto_url: str, account: str) -> AwsCredentials:
    sts = boto3.client(
        "sts",
        region_name=REGION,
        endpoint_url=moto_url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    role = f"arn:aws:iam::{account}:role/administrator"
    own = sts.assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]
    return AwsCredentials(
        aws_access_key_id=own["AccessKeyId"],
        aws_secret_access_key=own["SecretAccessKey"],
        aws_session_token=own["SessionToken"],
        aws_client_parameters={"endpoint_url": moto_url},
    )


@pytest.fixture
def bucket(account: str) -> str:
    return f"lab-{account}"


@pytest.fixture
def aws(credentials: AwsCredentials, bucket: str) -> AccountAws:
    """An account with nothing but a bucket."""
    aws = AccountAws.connect(credentials, REGION)
    aws.s3.create_bucket(Bucket=bucket)
    return aws


@pytest.fixture
def setup(aws: AccountAws, bucket: str) -> Setup:
    return open_setup(aws, REGION, given={"bucket": bucket})
