"""What an AWS error means: worth a retry, missing object, rejected caller."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)

from blocks.errors import AwsRefused, AwsUnreachable, DcpError, Problem, no_credentials

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
    connection_errors = HTTPClientError | ConnectionError | IncompleteReadError | AwsUnreachable
    return isinstance(error, connection_errors)


def is_refused(error: BaseException) -> bool:
    """Whether AWS rejected the caller (rather than the request)."""
    return error_code(error) in REFUSED_CODES


def is_denied(error: BaseException) -> bool:
    """Whether AWS knows the caller but denies the permission."""
    return error_code(error) in DENIED_CODES


def access_error(error: BaseException, where: str, what: str, needs: str = "") -> DcpError | None:
    """An error with a remedy, if the caller or the connection is at fault; otherwise None.

    Args:
        error: The exception of a boto3 call.
        where: The subject of the call.
        what: The failed action, such as `Could not call AWS`.
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
