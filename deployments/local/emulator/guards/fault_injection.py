"""Requests that fail for AWS's own reasons: throttled, answered with a 5xx, never answered.

Some were carried out all the same and only their answer is lost. Who sends them again must not do a
thing twice ("Ensuring idempotency in Amazon EC2 API requests", and "Timeouts, retries, and backoff
with jitter" of the Amazon Builders' Library).
"""

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Response

from deployments.local.emulator.core.chaos_switches import Chaos
from deployments.local.emulator.protocol.request import Asked
from deployments.local.emulator.protocol.responses import error

# Of all faults: the share that is throttling, then 5xx; the rest are connections that are reset.
THROTTLED, FAILED = 0.5, 0.9
# Of what is not throttled: the share that was carried out. What is throttled never is.
CARRIED_OUT = 0.4

# Code and status of throttling and of a failure, by signing name: "Error codes for the Amazon EC2
# API", "Error responses" of the Amazon S3 API, and "Common errors" of the others' API references.
CODES: dict[str, tuple[tuple[str, int], tuple[str, int]]] = {
    "ec2": (("RequestLimitExceeded", 503), ("InternalError", 500)),
    "ecs": (("ThrottlingException", 400), ("ServerException", 500)),
    "iam": (("Throttling", 400), ("ServiceFailure", 500)),
    "lambda": (("TooManyRequestsException", 429), ("ServiceException", 500)),
    "logs": (("ThrottlingException", 400), ("ServiceUnavailableException", 503)),
    "monitoring": (("Throttling", 400), ("InternalServiceFault", 500)),
    "pricing": (("ThrottlingException", 400), ("InternalErrorException", 500)),
    "s3": (("SlowDown", 503), ("InternalError", 500)),
    "scheduler": (("ThrottlingException", 429), ("InternalServerException", 500)),
    "servicequotas": (("TooManyRequestsException", 400), ("ServiceException", 500)),
    "sns": (("Throttled", 429), ("InternalError", 500)),
    "sqs": (("RequestThrottled", 400), ("ServiceUnavailable", 503)),
    "ssm": (("ThrottlingException", 400), ("InternalServerError", 500)),
    "sts": (("Throttling", 400), ("InternalFailure", 500)),
}
OTHERS = (("ThrottlingException", 400), ("InternalFailure", 500))
RESET = "ConnectionReset"  # in the record of requests, where others have the error's code


@dataclass(frozen=True)
class Fault:
    """What becomes of a request that fails.

    Attributes:
        code: The error's code, `RESET` for a connection that is reset.
        status: The HTTP status; 0 for a connection that is reset.
        carried_out: Whether the request is carried out all the same.
    """

    code: str
    status: int
    carried_out: bool


def fault(chaos: Chaos, number: int, service: str) -> Fault | None:
    """What becomes of the n-th request, by the switch `errors`; None: nothing special.

    Args:
        chaos: The switches.
        number: Number of the request.
        service: The service's signing name.
    """
    if not chaos.errors or not chaos.happens("errors", number):
        return None
    throttled, failed = CODES.get(service, OTHERS)
    kind = chaos.roll("errors/kind", number)
    if kind < THROTTLED:
        return Fault(*throttled, carried_out=False)
    carried_out = chaos.happens("errors/carried_out", number, CARRIED_OUT)
    return Fault(*failed, carried_out) if kind < FAILED else Fault(RESET, 0, carried_out)


def answer(fault: Fault, asked: Asked) -> Response:
    """The answer of a fault that has one."""
    text = "Rate exceeded" if fault.status < 500 else "An internal error occurred. Try again."
    return error(asked, fault.code, text, fault.status)


def reset(environ: dict[str, Any]) -> Iterable[bytes]:
    """Reset the client's connection in place of an answer."""
    connection: socket.socket = environ["werkzeug.socket"]
    # Closed with no time to linger, the kernel sends RST and not FIN.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
    return []
