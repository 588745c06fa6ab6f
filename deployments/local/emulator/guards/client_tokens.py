"""Requests with a client token: a repeated request creates nothing and gets the same response.

Sources: "Ensuring idempotency in Amazon EC2 API requests" in the Amazon EC2 API Reference
(`IdempotentParameterMismatch`), `clientToken` of the Amazon ECS API Reference.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.wrappers import Response

from deployments.local.emulator.protocol.captured_response import Answered
from deployments.local.emulator.protocol.request import Asked
from deployments.local.emulator.protocol.responses import error

TOKENS = ("ClientToken", "clientToken")


class Answers:
    """The responses to successful requests with a client token.

    Attributes:
        lock: To be held from the search for a response until the request is carried out.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._kept: dict[tuple[str, str, str], tuple[Any, Answered]] = {}

    def again(self, asked: Asked) -> Callable[..., Iterable[bytes]] | None:
        """The response to a repeated request; None for a new one."""
        if _key(asked) not in self._kept:
            return None
        parameters, answered = self._kept[_key(asked)]
        if parameters != asked.parameters:
            return _mismatch(asked)
        return lambda _, start_response: answered.send(start_response)

    def keep(self, asked: Asked, answered: Answered) -> None:
        """Store the response to a successful request."""
        answered.body = [b"".join(answered.body)]
        self._kept[_key(asked)] = asked.parameters, answered


def token(asked: Asked) -> str:
    """The client token of a request, "" without one."""
    given = asked.parameters.get("SpotFleetRequestConfig", asked.parameters)
    return next((str(given[name]) for name in TOKENS if given.get(name)), "")


def _key(asked: Asked) -> tuple[str, str, str]:
    return asked.region, asked.operation, token(asked)


def _mismatch(asked: Asked) -> Response:
    if asked.service == "ecs":
        text = "The request has the client token of another request with other parameters."
        return error(asked, "InvalidParameterException", text)
    text = "The client token was used before with other parameters."
    return error(asked, "IdempotentParameterMismatch", text)
