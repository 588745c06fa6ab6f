"""Which AWS requests are retried, and which fail at once."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
)

from blocks.errors import AwsRefused, AwsUnreachable
from tasks.aws.clients import unsigned
from tasks.aws.errors import access_error, is_refused, is_transient


def answer(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Operation")


@pytest.mark.parametrize(
    "error",
    [
        answer("ThrottlingException"),
        answer("RequestLimitExceeded", 503),
        answer("InternalFailure", 500),
        EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
        IncompleteReadError(actual_bytes=3, expected_bytes=5),
    ],
)
def test_throttling_and_outages_are_transient(error: Exception) -> None:
    assert is_transient(error)
    assert not is_refused(error)


@pytest.mark.parametrize(
    "error",
    [
        answer("AccessDenied", 403),
        answer("InvalidParameterValue"),
        answer("NoSuchBucket", 404),
        ParamValidationError(report="wrong"),
        ValueError("ours"),
    ],
)
def test_other_errors_are_not_transient(error: Exception) -> None:
    assert not is_transient(error)


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "RequestExpired"])
def test_expired_keys_are_refused(code: str) -> None:
    """S3, SQS and STS, ECS and EC2 each have a code of their own for it."""
    assert is_refused(answer(code))


def test_unsigned_requests_have_no_credentials() -> None:
    keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "x"}
    s3 = boto3.client("s3", region_name="eu-west-1", endpoint_url="http://127.0.0.1:1", **keys)
    headers: dict[str, Any] = {}

    def note(request: Any, **_: Any) -> None:
        headers.update(request.headers)
        raise ConnectionRefusedError("noted")

    for client, signed in ((s3, True), (unsigned(s3), False)):
        headers.clear()
        client.meta.events.register("before-send.s3.HeadBucket", note)
        with pytest.raises(ConnectionRefusedError):
            client.head_bucket(Bucket="open-data")
        assert ("Authorization" in headers) is signed
        assert client.meta.endpoint_url == "http://127.0.0.1:1"


def test_a_queues_redrive_policy_is_json() -> None:
    """SQS expects the policy as JSON text within the attributes."""
    from tasks.jobs.queues import redrive_policy

    policy = json.loads(redrive_policy("arn:aws:sqs:us-east-1:1:Dead", 3))
    assert policy == {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:1:Dead", "maxReceiveCount": 3}


def test_permissions_are_named_only_if_one_is_missing() -> None:
    needs = "The credentials need s3:GetObject."

    def text_of(error: Exception) -> str:
        return str(access_error(error, "app A", "could not be found", needs))

    assert needs in text_of(answer("AccessDenied"))
    assert needs in text_of(answer("403"))
    for other in (answer("ExpiredToken"), answer("InvalidAccessKeyId"), NoCredentialsError()):
        assert isinstance(access_error(other, "app A", "could not be found", needs), AwsRefused)
        assert needs not in text_of(other)
    away = access_error(EndpointConnectionError(endpoint_url="http://x"), "app A", "", needs)
    assert isinstance(away, AwsUnreachable)
    assert str(away).startswith("Could not reach AWS: ")
    assert access_error(answer("InternalFailure", 500), "app A", "", needs) is None
