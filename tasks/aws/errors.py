"""What an error of AWS means: whether to ask again, what is missing, who is refused."""

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
    """The code of an AWS error answer, or "" when it is none."""
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def is_missing(error: BaseException) -> bool:
    """Whether S3 has no such object, or no such bucket."""
    return error_code(error) in ("NoSuchKey", "NoSuchBucket", "404")


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later: throttling, a 5xx answer, a lost connection."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error_code(error) in THROTTLING_CODES or status >= 500
    gone = HTTPClientError | ConnectionError | IncompleteReadError | AwsUnreachable
    return isinstance(error, gone)


def is_refused(error: BaseException) -> bool:
    """Whether AWS said no to who asked (as against what was asked)."""
    return error_code(error) in REFUSED_CODES


def is_denied(error: BaseException) -> bool:
    """Whether AWS knows who asked, and a permission is missing."""
    return error_code(error) in DENIED_CODES


def refusal(error: BaseException, where: str, what: str, needs: str = "") -> DcpError | None:
    """What is wrong with who called AWS, as an error that says what to do; None if nothing is.

    Args:
        error: What a boto3 call raised.
        where: What the call was about.
        what: What could not be done, as in `could not be found`.
        needs: The permissions of the call, and whatever else helps without them; a sentence.
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
"""What a boto3 call raises: an error answer, or none at all (no credentials, no connection)."""
