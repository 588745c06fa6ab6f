"""A run found by its app's name alone."""

from collections.abc import Callable

import pytest
from prefect_aws import AwsCredentials
from recorded_run import config_at, end

from blocks.errors import AwsUnreachable, ConfigError, InputError, NotFound
from deployments.local.bucket_folders import make_bucket
from tasks.runs import record
from tasks.runs.lookup import locate
from tasks.runs.run import Run


@pytest.fixture
def credentials(endpoint_url: str) -> AwsCredentials:
    return config_at(endpoint_url, "Any").aws_credentials


def test_the_newest_run_is_found_with_its_settings(
    make_run: Callable[..., Run], credentials: AwsCredentials
) -> None:
    first = make_run(memory=12_345, sqs_dead_letter_queue="Shared")
    end(first)
    second = make_run(run_id="20260302-120000-abcdef", memory=4_321, aws_region="eu-west-1")
    found = locate(first.names.app, credentials, "us-east-1")
    assert found.run_id == second.run_id
    assert (found.config.memory, found.config.aws_region) == (4_321, "eu-west-1")
    assert found.aws.sqs.meta.region_name == "eu-west-1"
    assert record.load(found) is not None
    older = locate(
        first.names.app, credentials, "us-east-1", first.config.aws_bucket, run_id=first.run_id
    )
    assert older.config.memory == 12_345
    assert older.names.dead_letter_queue == "Shared"


def test_an_app_that_is_nowhere_is_told(run: Run, credentials: AwsCredentials) -> None:
    with pytest.raises(NotFound, match="NeverSeen"):
        locate("NeverSeen", credentials, "us-east-1")
    with pytest.raises(NotFound):
        locate("NeverSeen", credentials, "us-east-1", run.config.aws_bucket)
    with pytest.raises(NotFound):
        locate(run.names.app, credentials, "us-east-1", "there-is-no-such-bucket")
    with pytest.raises(NotFound):
        locate(run.names.app, credentials, "us-east-1", run_id="20200101-000000-000000")


def test_a_name_that_cannot_be_is_told(credentials: AwsCredentials) -> None:
    with pytest.raises(ConfigError, match="app_name"):
        locate("no/name", credentials, "us-east-1")


def test_two_buckets_with_the_app_are_named(run: Run, credentials: AwsCredentials) -> None:
    make_bucket(run.aws.s3, "a-second-bucket", "us-east-1")
    run.aws.s3.put_object(Bucket="a-second-bucket", Key=run.names.latest_key, Body=b"{}")
    try:
        with pytest.raises(InputError, match="a-second-bucket"):
            locate(run.names.app, credentials, "us-east-1")
    finally:
        run.aws.s3.delete_object(Bucket="a-second-bucket", Key=run.names.latest_key)


def test_without_aws_it_says_so() -> None:
    nowhere = AwsCredentials(
        aws_access_key_id="x",
        aws_secret_access_key="x",
        aws_client_parameters={
            "endpoint_url": "http://127.0.0.1:9",
            "config": {"retries": {"total_max_attempts": 1}},
        },
    )
    with pytest.raises(AwsUnreachable, match=r"127\.0\.0\.1:9"):
        locate("Lab", nowhere, "us-east-1")
