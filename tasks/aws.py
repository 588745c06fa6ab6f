"""Clients for AWS, and which errors are worth a retry."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)
from tenacity import (
    Retrying,
    before_sleep_log,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from blocks.credentials import client_parameters, session_of
from blocks.errors import AwsRefused, AwsUnreachable, DcpError, Problem, no_credentials
from blocks.identity import Credentials

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

# It serves the price lists of all regions (AWS Billing, "AWS Price List Query API").
PRICE_REGION = "us-east-1"

# botocore's standard mode retries only throttled requests, 5xx responses and lost connections, with
# exponential backoff and full jitter: a wrong parameter or a denied permission fails at once.
# (botocore documentation, "Retries"; AWS SDKs and Tools, "Retry behavior")
CLIENT_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 8},
    max_pool_connections=32,
    connect_timeout=10,
    read_timeout=60,
    user_agent_extra="dcp",
)

THROTTLING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)


@dataclass(frozen=True)
class Aws:
    """One client for each AWS service that a run uses, all for one account and region.

    Only the price list has a region of its own. Created once and passed to all code that calls AWS;
    boto3's clients can be shared between threads.
    """

    sqs: "SQSClient"
    ecs: "ECSClient"
    ec2: "EC2Client"
    s3: "S3Client"
    logs: "CloudWatchLogsClient"
    cloudwatch: "CloudWatchClient"
    ssm: "SSMClient"
    sts: "STSClient"
    iam: "IAMClient"
    service_quotas: "ServiceQuotasClient"
    pricing: "PricingClient"
    resourcegroupstaggingapi: Any

    @classmethod
    def connect(cls, credentials: Credentials, region: str) -> "Aws":
        """Create the clients; sends no request yet.

        Args:
            credentials: The identity, and the client parameters (endpoint, certificates, ...).
            region: The region of the run; a region in the credentials does not override it.
        """
        make = client_maker(credentials)
        clients = {
            name: make(name.replace("_", "-"), PRICE_REGION if name == "pricing" else region)
            for name in cls.__dataclass_fields__
        }
        return cls(**cast(Any, clients))


def client_maker(credentials: Credentials) -> Callable[[str, str], Any]:
    """Returns a function that creates a service's client in a region, with dcp's retries.

    Args:
        credentials: The identity, and the client parameters (endpoint, certificates, ...).
    """
    session = session_of(credentials)
    parameters = client_parameters(credentials)
    parameters["config"] = CLIENT_CONFIG.merge(parameters.get("config") or Config())
    client: Any = session.client
    return lambda service, region: client(service, region_name=region, **parameters)


def unsigned(s3: "S3Client") -> "S3Client":
    """A client like this one without credentials, for public buckets."""
    session = boto3.session.Session(region_name=s3.meta.region_name)
    config = s3.meta.config.merge(Config(signature_version=UNSIGNED))
    return session.client("s3", endpoint_url=s3.meta.endpoint_url, config=config)


def error_code(error: BaseException) -> str:
    """The code of an AWS error response, or "" for other errors."""
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def is_missing(error: BaseException) -> bool:
    """Whether the S3 object or bucket does not exist."""
    return error_code(error) in ("NoSuchKey", "NoSuchBucket", "404")


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later: throttling, a 5xx response, a lost connection."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error_code(error) in THROTTLING_CODES or status >= 500
    return isinstance(error, HTTPClientError | ConnectionError | IncompleteReadError)


def patient(seconds: float) -> Retrying:
    """Retries a call for up to `seconds` while AWS is out of reach; raises other errors at once."""
    return Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_random_exponential(multiplier=1, max=60),
        stop=stop_after_delay(seconds),
        before_sleep=before_sleep_log(logging.getLogger("prefect.dcp"), logging.WARNING),
        reraise=True,
    )


DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})

REFUSED_CODES = DENIED_CODES | frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


def is_refused(error: BaseException) -> bool:
    """Whether AWS rejected the caller (rather than the request)."""
    return error_code(error) in REFUSED_CODES


def is_denied(error: BaseException) -> bool:
    """Whether AWS knows the caller but denies the permission."""
    return error_code(error) in DENIED_CODES


def refusal(error: BaseException, where: str, what: str, needs: str = "") -> DcpError | None:
    """An error with a remedy, if the caller or the connection is at fault; otherwise None.

    Args:
        error: The exception of a boto3 call.
        where: The subject of the call.
        what: The failed action, as in `could not be found`.
        needs: The permissions of the call, and any alternative without them; a sentence.
    """
    if isinstance(error, NoCredentialsError):
        return no_credentials()
    if isinstance(error, HTTPClientError | ConnectionError):
        return AwsUnreachable(f"Could not reach AWS: {error}")
    if is_refused(error) or not error_code(error):
        remedy = needs if is_denied(error) else ""
        return AwsRefused(Problem(where, "", f"{what}: {error}", remedy=remedy))
    return None


AwsError = (ClientError, BotoCoreError)
"""Exceptions of boto3 calls: an error response, or no response (no credentials, no connection)."""
