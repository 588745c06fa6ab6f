"""The AWS clients of a slot, created once with the worker's retry rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

# botocore's standard mode retries throttling, 5xx and lost connections with growing, jittered
# delays, but nothing else ("Retries", boto3 documentation).
RETRIES = Config(retries={"mode": "standard", "max_attempts": 6}, connect_timeout=10)
# The supervisor must not neglect its slots; it polls again later.
PROMPTLY = Config(
    retries={"mode": "standard", "max_attempts": 3}, connect_timeout=3, read_timeout=10
)
# A slot fetches the inputs of one job while it publishes the outputs of another.
S3_CONNECTIONS = 20
# The job's log must never delay the job.
BRIEFLY = Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=3, read_timeout=5)

# S3's codes for a missing object. 403: for a role that may not list the bucket ("HeadObject",
# Amazon S3 API Reference).
ABSENT = ("404", "NoSuchKey", "403", "AccessDenied")


def exists(s3: S3Client, bucket: str, key: str) -> bool:
    """Whether an object exists."""
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            return False
        raise
    return True


@dataclass(frozen=True)
class Clients:
    """One client per service, with the credentials of the task role.

    botocore uses path-style addresses for bucket names with dots, because no certificate covers
    their virtual hosts, and follows a bucket to its region.

    Attributes:
        anonymous_s3: For public buckets: sends unsigned requests, without credentials.
    """

    s3: S3Client
    anonymous_s3: S3Client
    sqs: SQSClient
    logs: CloudWatchLogsClient

    @classmethod
    def of(cls, region: str) -> Clients:
        """Clients for a region."""
        session = boto3.session.Session(region_name=region)
        many = RETRIES.merge(Config(max_pool_connections=2 * S3_CONNECTIONS))
        return cls(
            s3=session.client("s3", config=many),
            anonymous_s3=session.client(
                "s3", config=many.merge(Config(signature_version=UNSIGNED))
            ),
            sqs=session.client("sqs", config=RETRIES),
            logs=session.client("logs", config=BRIEFLY),
        )
