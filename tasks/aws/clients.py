"""Clients for AWS."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from blocks.credentials.identity import Credentials
from blocks.credentials.sessions import client_parameters, session_of

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
