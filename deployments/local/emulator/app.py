"""The emulator's HTTP application: moto, and below `/_dcp/` AWS's services that are not APIs."""

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from moto.ec2.responses import EC2Response
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.iam.responses import IamResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from deployments.local.emulator.control_api import control
from deployments.local.emulator.core.moto_overrides import replace
from deployments.local.emulator.core.state import EmulatorState
from deployments.local.emulator.ec2 import (
    cpu_alarms,
    fleet_api,
    image_api,
    instances,
    price_and_quota_api,
    spot_fleet_api,
)
from deployments.local.emulator.ec2.instance_metadata import imds
from deployments.local.emulator.ecs import service_api, task_api
from deployments.local.emulator.ecs.task_metadata import task_services
from deployments.local.emulator.guards import sts_sessions
from deployments.local.emulator.guards.access_key import refusal
from deployments.local.emulator.guards.client_tokens import TokenResponses, token
from deployments.local.emulator.guards.fault_injection import RESET, answer, fault, reset
from deployments.local.emulator.guards.forced_denials import denial, dry_run
from deployments.local.emulator.guards.iam_principals import forbidden
from deployments.local.emulator.guards.parameter_rules.all_rules import rule_violation
from deployments.local.emulator.guards.validation_errors import invalid
from deployments.local.emulator.protocol.captured_response import CapturedResponse
from deployments.local.emulator.protocol.request import ApiRequest, parse_request
from deployments.local.emulator.services import iam_api, log_exports
from deployments.local.emulator.services.lambda_functions import invocation
from deployments.local.emulator.sqs import queue

# No bucket can have this name, so it cannot conflict with an S3 request.
PREFIX = "/_dcp/"


class Application:
    """WSGI application of one emulator."""

    def __init__(self, emulator: EmulatorState) -> None:
        self._emulator = emulator
        self._moto = DomainDispatcherApplication(create_backend_app)
        # Without the cache, moto searches the folders of all its services at every request.
        self._moto.get_backend_for_host = functools.cache(  # type: ignore[method-assign]
            self._moto.get_backend_for_host
        )
        fleets = {**fleet_api.ACTIONS, **spot_fleet_api.ACTIONS, **price_and_quota_api.ACTIONS}
        services = {**task_api.ACTIONS, **service_api.ACTIONS}
        replace(EC2Response, "ec2", {**fleets, **image_api.ACTIONS}, emulator)
        replace(EC2ContainerServiceResponse, "ecs", services, emulator)
        replace(IamResponse, "iam", iam_api.ACTIONS, emulator)
        queue.replace(emulator)
        log_exports.replace(emulator.settings.export_seconds)
        self._numbers = itertools.count()
        self._tokens = TokenResponses()
        instances.replace()
        cpu_alarms.replace()
        sts_sessions.replace(emulator.settings.speed)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request."""
        path = environ.get("PATH_INFO", "")
        request = Request(environ, populate_request=False)
        if path.startswith(PREFIX):
            return self._own(request, path.removeprefix(PREFIX))(environ, start_response)
        api_request = parse_request(environ, request)
        if api_request is None:
            unsigned: Iterable[bytes] = self._moto(environ, start_response)
            return unsigned
        return self._answer(environ, start_response, request, api_request)

    def _answer(
        self,
        environ: dict[str, Any],
        start_response: Callable[..., Any],
        request: Request,
        api_request: ApiRequest,
    ) -> Iterable[bytes]:
        """Answer a signed request, or inject a fault like AWS's own; and record the request."""
        emulator, sender = self._emulator, self._who(api_request)
        injected = fault(emulator.chaos, next(self._numbers), api_request.service)
        if injected is None or injected.carried_out:
            captured = self._capture(environ, request, api_request)
            if injected is None:
                emulator.recorder.add(api_request, sender, captured.status, captured.code)
                return captured.send(start_response)
            captured.drop()
        emulator.recorder.add(
            api_request, sender, injected.status, injected.code, injected.carried_out
        )
        if injected.code == RESET:
            start_response("500 Internal Server Error", [])
            return reset(environ)
        if not injected.carried_out:
            request.get_data(cache=False)  # a client that is still sending would miss the response
        return answer(injected, api_request)(environ, start_response)

    def _capture(
        self, environ: dict[str, Any], request: Request, api_request: ApiRequest
    ) -> CapturedResponse:
        if not token(api_request):
            return CapturedResponse(self._before_moto(request, api_request) or self._moto, environ)
        # One after the other, so that a repeated request gets the response to the first.
        with self._tokens.lock:
            before = self._before_moto(request, api_request) or self._tokens.repeated(api_request)
            captured = CapturedResponse(before or self._moto, environ)
            if before is None and not captured.code:
                self._tokens.store(api_request, captured)
            return captured

    def _before_moto(self, request: Request, api_request: ApiRequest) -> Response | None:
        """Answer requests that are denied or invalid, or whose service moto does not have.

        None if moto answers, with its actions replaced by those of this package.
        """
        emulator = self._emulator
        return (
            refusal(emulator, request)
            or sts_sessions.expired(api_request)
            or denial(emulator, api_request)
            or forbidden(emulator, api_request)
            or invalid(api_request)
            or rule_violation(api_request)
            or dry_run(api_request)
            or price_and_quota_api.json_answer(emulator, api_request.action, api_request.parameters)
            or invocation(emulator, api_request)
        )

    def _who(self, api_request: ApiRequest) -> dict[str, str]:
        """The sender: `caller`, or a machine, a container or a function with its role."""
        ownership = self._emulator.owner_of(api_request.key)
        if ownership is None:
            return {"who": "caller", "owner": "", "role": ""}
        owner, role = ownership
        kind = "function" if owner.startswith("function/") else "container"
        kind = "machine" if owner.startswith("i-") else kind
        return {"who": kind, "owner": owner, "role": role}

    def _own(self, request: Request, path: str) -> Response:
        kind, _, rest = path.partition("/")
        owner, _, below = rest.partition("/")
        with self._emulator.lock:
            if kind == "imds":
                return imds(self._emulator, request, owner, below)
            if kind == "task":
                return task_services(self._emulator, request, owner, below)
            return control(self._emulator, request, path)
