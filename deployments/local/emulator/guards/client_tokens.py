"""Requests with a client token: a repeated request creates nothing and gets the same response.

Sources: "Ensuring idempotency in Amazon EC2 API requests" in the Amazon EC2 API Reference
(`IdempotentParameterMismatch`), `clientToken` of the Amazon ECS API Reference.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.wrappers import Response

from deployments.local.emulator.protocol.captured_response import CapturedResponse
from deployments.local.emulator.protocol.request import ApiRequest
from deployments.local.emulator.protocol.responses import error

TOKENS = ("ClientToken", "clientToken")


class TokenResponses:
    """The responses to successful requests with a client token.

    Attributes:
        lock: To be held from the search for a response until the request is carried out.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._responses: dict[tuple[str, str, str], tuple[Any, CapturedResponse]] = {}

    def repeated(self, api_request: ApiRequest) -> Callable[..., Iterable[bytes]] | None:
        """The response to a repeated request; None for a new one."""
        if _key(api_request) not in self._responses:
            return None
        parameters, captured = self._responses[_key(api_request)]
        if parameters != api_request.parameters:
            return _mismatch(api_request)
        return lambda _, start_response: captured.send(start_response)

    def store(self, api_request: ApiRequest, captured: CapturedResponse) -> None:
        """Store the response to a successful request."""
        captured.body = [b"".join(captured.body)]
        self._responses[_key(api_request)] = api_request.parameters, captured


def token(api_request: ApiRequest) -> str:
    """The client token of a request, "" without one."""
    parameters = api_request.parameters.get("SpotFleetRequestConfig", api_request.parameters)
    return next((str(parameters[name]) for name in TOKENS if parameters.get(name)), "")


def _key(api_request: ApiRequest) -> tuple[str, str, str]:
    return api_request.region, api_request.operation, token(api_request)


def _mismatch(api_request: ApiRequest) -> Response:
    if api_request.service == "ecs":
        text = "The request has the client token of another request with other parameters."
        return error(api_request, "InvalidParameterException", text)
    text = "The client token was used before with other parameters."
    return error(api_request, "IdempotentParameterMismatch", text)
