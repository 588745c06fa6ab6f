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
from deployments.local.emulator.protocol.request import Asked
from deployments.local.emulator.protocol.responses import error

# Services with the query protocol, or with its error codes.
SPEAK_QUERY = frozenset({"iam", "monitoring", "sns", "sqs", "sts"})

assume = STSBackend.assume_role


def replace(speed: float) -> None:
    """Shorten the sessions of moto's roles like AWS's other long waits."""

    def assume_role(self: Any, *, duration: int, **given: Any) -> Any:
        return assume(self, duration=round(duration / speed), **given)

    # mypy rejects a plain assignment to a class.
    setattr(STSBackend, "assume_role", assume_role)  # noqa: B010


def assumed_role(key: str) -> AssumedRole | None:
    """moto's record of the session of an access key; None if the key belongs to none."""
    return sts_backends[ACCOUNT_ID]["aws"].get_assumed_role_from_access_key(key)


def expired(asked: Asked) -> Response | None:
    """The response to a request with keys of an expired session; None for any other."""
    session = assumed_role(asked.key)
    if session is None or utcnow() < session.expiration:
        return None
    if asked.service == "ec2":
        return error(asked, "RequestExpired", "Request has expired.", 400)
    if asked.service == "s3":
        return error(asked, "ExpiredToken", "The provided token has expired.", 400)
    text = "The security token included in the request is expired"
    if asked.service in SPEAK_QUERY:
        return error(asked, "ExpiredToken", text, 403)
    return error(asked, "ExpiredTokenException", text, 400)
