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
from deployments.local.emulator.core.state import Cloud
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
from deployments.local.emulator.guards.client_tokens import Answers, token
from deployments.local.emulator.guards.fault_injection import RESET, answer, fault, reset
from deployments.local.emulator.guards.forced_denials import denial, dry_run
from deployments.local.emulator.guards.iam_principals import forbidden
from deployments.local.emulator.guards.parameter_rules.all_rules import broken
from deployments.local.emulator.guards.validation_errors import invalid
from deployments.local.emulator.protocol.captured_response import Answered
from deployments.local.emulator.protocol.request import Asked, asked
from deployments.local.emulator.services import iam_api, log_exports
from deployments.local.emulator.services.lambda_functions import invocation
from deployments.local.emulator.sqs import queue

# No bucket can have this name, so it cannot conflict with an S3 request.
PREFIX = "/_dcp/"


class Application:
    """WSGI application for one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._moto = DomainDispatcherApplication(create_backend_app)
        # Without the cache, moto searches the folders of all its services at every request.
        self._moto.get_backend_for_host = functools.cache(  # type: ignore[method-assign]
            self._moto.get_backend_for_host
        )
        fleets = {**fleet_api.ACTIONS, **spot_fleet_api.ACTIONS, **price_and_quota_api.ACTIONS}
        services = {**task_api.ACTIONS, **service_api.ACTIONS}
        replace(EC2Response, "ec2", {**fleets, **image_api.ACTIONS}, cloud)
        replace(EC2ContainerServiceResponse, "ecs", services, cloud)
        replace(IamResponse, "iam", iam_api.ACTIONS, cloud)
        queue.replace(cloud)
        log_exports.replace(cloud.settings.export_seconds)
        self._numbers = itertools.count()
        self._tokens = Answers()
        instances.replace()
        cpu_alarms.replace()
        sts_sessions.replace(cloud.settings.speed)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request."""
        path = environ.get("PATH_INFO", "")
        request = Request(environ, populate_request=False)
        if path.startswith(PREFIX):
            return self._own(request, path.removeprefix(PREFIX))(environ, start_response)
        wanted = asked(environ, request)
        if wanted is None:
            unsigned: Iterable[bytes] = self._moto(environ, start_response)
            return unsigned
        return self._answer(environ, start_response, request, wanted)

    def _answer(
        self,
        environ: dict[str, Any],
        start_response: Callable[..., Any],
        request: Request,
        wanted: Asked,
    ) -> Iterable[bytes]:
        """Answer a signed request, or inject a fault like AWS's own; and record the request."""
        cloud, who = self._cloud, self._who(wanted)
        wrong = fault(cloud.chaos, next(self._numbers), wanted.service)
        if wrong is None or wrong.carried_out:
            answered = self._answered(environ, request, wanted)
            if wrong is None:
                cloud.recorder.add(wanted, who, answered.status, answered.code)
                return answered.send(start_response)
            answered.drop()
        cloud.recorder.add(wanted, who, wrong.status, wrong.code, wrong.carried_out)
        if wrong.code == RESET:
            start_response("500 Internal Server Error", [])
            return reset(environ)
        if not wrong.carried_out:
            request.get_data(cache=False)  # a client that is still sending would miss the response
        return answer(wrong, wanted)(environ, start_response)

    def _answered(self, environ: dict[str, Any], request: Request, wanted: Asked) -> Answered:
        if not token(wanted):
            return Answered(self._before_moto(request, wanted) or self._moto, environ)
        # One after the other, so that a repeated request gets the response to the first.
        with self._tokens.lock:
            before = self._before_moto(request, wanted) or self._tokens.again(wanted)
            answered = Answered(before or self._moto, environ)
            if before is None and not answered.code:
                self._tokens.keep(wanted, answered)
            return answered

    def _before_moto(self, request: Request, wanted: Asked) -> Response | None:
        """Answer requests that are denied or invalid, or whose service moto does not have.

        None if moto answers, with its actions replaced by those of this package.
        """
        cloud = self._cloud
        return (
            refusal(cloud, request)
            or sts_sessions.expired(wanted)
            or denial(cloud, wanted)
            or forbidden(cloud, wanted)
            or invalid(wanted)
            or broken(wanted)
            or dry_run(wanted)
            or price_and_quota_api.json_answer(cloud, wanted.action, wanted.parameters)
            or invocation(cloud, wanted)
        )

    def _who(self, wanted: Asked) -> dict[str, str]:
        """The sender: `caller`, or a machine, a container or a function with its role."""
        found = self._cloud.owner_of(wanted.key)
        if found is None:
            return {"who": "caller", "owner": "", "role": ""}
        owner, role = found
        kind = "function" if owner.startswith("function/") else "container"
        kind = "machine" if owner.startswith("i-") else kind
        return {"who": kind, "owner": owner, "role": role}

    def _own(self, request: Request, path: str) -> Response:
        kind, _, rest = path.partition("/")
        owner, _, below = rest.partition("/")
        with self._cloud.lock:
            if kind == "imds":
                return imds(self._cloud, request, owner, below)
            if kind == "task":
                return task_services(self._cloud, request, owner, below)
            return control(self._cloud, request, path)
