"""Requests that fail on AWS's side: throttled, answered with a 5xx, or without a response.

Some are still carried out, and only their response is lost. A client that repeats them must not
cause a second effect ("Ensuring idempotency in Amazon EC2 API requests", and "Timeouts, retries,
and backoff with jitter" of the Amazon Builders' Library).
"""

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Response

from deployments.local.emulator.core.chaos_switches import Chaos
from deployments.local.emulator.protocol.request import ApiRequest
from deployments.local.emulator.protocol.responses import error

# Shares of all faults: throttling, then 5xx; the rest are connection resets.
THROTTLED, FAILED = 0.5, 0.9
# Share of faults other than throttling that are carried out; throttled requests never are.
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
RESET = "ConnectionReset"  # in the record of requests, instead of an error code


@dataclass(frozen=True)
class Fault:
    """The fault of a request.

    Attributes:
        code: The error code, `RESET` for a connection reset.
        status: The HTTP status; 0 for a connection reset.
        carried_out: Whether the request is still carried out.
    """

    code: str
    status: int
    carried_out: bool


def fault(chaos: Chaos, number: int, service: str) -> Fault | None:
    """The fault of the n-th request by the switch `errors`; None if it succeeds.

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


def answer(fault: Fault, api_request: ApiRequest) -> Response:
    """The response of a fault that has one."""
    text = "Rate exceeded" if fault.status < 500 else "An internal error occurred. Try again."
    return error(api_request, fault.code, text, fault.status)


def reset(environ: dict[str, Any]) -> Iterable[bytes]:
    """Reset the client's connection instead of sending a response."""
    connection: socket.socket = environ["werkzeug.socket"]
    # With a linger time of zero, the kernel sends RST instead of FIN.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
    return []
