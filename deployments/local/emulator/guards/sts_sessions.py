"""Sessions of assumed roles: AWS refuses their keys once `DurationSeconds` have passed.

Sources: AssumeRole in the AWS Security Token Service API Reference; `RequestExpired` in "Error
codes for the Amazon EC2 API"; `ExpiredToken` in "Error responses" of the Amazon S3 API Reference;
`ExpiredToken` and `ExpiredTokenException` in "Common Errors" of the other services.
"""

from typing import Any

from moto.core.utils import utcnow
from moto.sts.models import AssumedRole, STSBackend, sts_backends
from werkzeug.wrappers import Response

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.protocol.request import ApiRequest
from deployments.local.emulator.protocol.responses import error

# Services with the query protocol, or with its error codes.
SPEAK_QUERY = frozenset({"iam", "monitoring", "sns", "sqs", "sts"})

assume = STSBackend.assume_role


def replace(speed: float) -> None:
    """Shorten the sessions of moto's roles like AWS's other long waits."""

    def assume_role(self: Any, *, duration: int, **parameters: Any) -> Any:
        return assume(self, duration=round(duration / speed), **parameters)

    # mypy rejects a plain assignment to a class.
    setattr(STSBackend, "assume_role", assume_role)  # noqa: B010


def assumed_role(key: str) -> AssumedRole | None:
    """moto's record of the session of an access key; None if the key belongs to none."""
    return sts_backends[ACCOUNT_ID]["aws"].get_assumed_role_from_access_key(key)


def expired(api_request: ApiRequest) -> Response | None:
    """The response to a request with keys of an expired session; None for any other."""
    session = assumed_role(api_request.key)
    if session is None or utcnow() < session.expiration:
        return None
    if api_request.service == "ec2":
        return error(api_request, "RequestExpired", "Request has expired.", 400)
    if api_request.service == "s3":
        return error(api_request, "ExpiredToken", "The provided token has expired.", 400)
    text = "The security token included in the request is expired"
    if api_request.service in SPEAK_QUERY:
        return error(api_request, "ExpiredToken", text, 403)
    return error(api_request, "ExpiredTokenException", text, 400)
