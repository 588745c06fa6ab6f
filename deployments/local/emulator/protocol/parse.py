"""Parses requests from the wire format back to botocore's parameters.

The protocols: "AWS JSON 1.0 and 1.1", "AWS query", "Amazon EC2 query", "AWS restJson1" and
"AWS restXml" of the Smithy specification.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from botocore.exceptions import UnknownServiceError
from moto.core.parse import (
    UNDEFINED,
    EC2QueryParser,
    QueryParser,
    RequestParserError,
    RestJSONParser,
    RestXMLParser,
)
from moto.core.request import Request as MotoRequest
from moto.core.request import determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request

OPERATION = re.compile(r"/service/[^/]+/operation/(?P<name>\w+)")
# Further keys that every request of the query protocols may have.
COMMON = {"Action", "Version", "AUTHPARAMS", "SignatureVersion", "SignatureMethod", "Timestamp"}


@dataclass(frozen=True)
class ProtocolRequest:
    """A request parsed by its protocol.

    Attributes:
        protocol: The protocol's name in botocore.
        operation: The operation's name in the API; "" if it is unknown.
        parameters: The parameters by their names in botocore, without the data of objects.
        unknown: Parameters that the operation does not have, if the protocol allows to detect them.
        unreadable: The reason why the body cannot be parsed; "" if it can.
    """

    protocol: str
    operation: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    unreadable: str = ""


@cache
def service_model(name: str) -> Any:
    """botocore's model of a service, None if it has none with this name."""
    try:
        return get_service_model(name)
    except UnknownServiceError:
        return None


def operation_model(service: str, operation: str) -> Any:
    """botocore's model of an operation, None if there is none with this name."""
    model = service_model(service)
    if model is None or operation not in model.operation_names:
        return None
    return model.operation_model(operation)


def parse_protocol(service: str, environ: dict[str, Any], request: Request) -> ProtocolRequest:
    """Parse a request to a service that botocore knows; bodies are restored afterwards.

    Args:
        service: The service's name in botocore.
        environ: The WSGI environment.
        request: The same request as an object.
    """
    model = service_model(service)
    try:
        protocol = determine_request_protocol(model, request.headers.get("Content-Type", ""))
    except NotImplementedError:
        protocol = str(model.protocol)
    if protocol in ("rest-xml", "rest-json"):
        return _rest(service, protocol, environ, request)
    if target := request.headers.get("X-Amz-Target", ""):
        return _json(protocol, target.rpartition(".")[2], _body(environ, request))
    if match := OPERATION.search(request.path):
        return ProtocolRequest(protocol, match["name"])
    return _query(service, protocol, environ, request)


def _body(environ: dict[str, Any], request: Request) -> bytes:
    body = request.get_data(cache=False)
    environ["wsgi.input"] = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


def _json(protocol: str, operation: str, body: bytes) -> ProtocolRequest:
    # Members of the JSON services have the same names on the wire as in botocore.
    try:
        # A member that is null counts as missing.
        hook = _without_nulls if b"null" in body else None
        parameters = json.loads(body or b"{}", object_hook=hook)
    except ValueError as error:
        return ProtocolRequest(protocol, operation, unreadable=str(error))
    if not isinstance(parameters, dict):
        return ProtocolRequest(protocol, operation, unreadable="the body is not a JSON object")
    return ProtocolRequest(protocol, operation, parameters)


def _without_nulls(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


class _TrackedForm(dict[str, str]):
    """A form that records which of its keys were read."""

    def __init__(self, form: Mapping[str, str]) -> None:
        super().__init__(form)
        self.read_keys: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        self.read_keys.add(key)
        return super().get(key, default)


class _Plain:
    """Parses scalars; text of the wrong type stays text, and the check of types reports it."""

    def _parse_boolean(self, shape: Any, node: Any, prefix: str = "") -> Any:
        value = self._default_handle(shape, node, prefix)  # type: ignore[attr-defined]
        return {"true": True, "false": False}.get(value, value) if value is not UNDEFINED else value

    def _parse_integer(self, shape: Any, node: Any, prefix: str = "") -> Any:
        return self._read(shape, node, prefix, int)

    def _parse_float(self, shape: Any, node: Any, prefix: str = "") -> Any:
        return self._read(shape, node, prefix, float)

    def _parse_timestamp(self, shape: Any, node: Any, prefix: str = "") -> Any:
        return self._read(shape, node, prefix, self._timestamp_parser)  # type: ignore[attr-defined]

    def _read(self, shape: Any, node: Any, prefix: str, read: Any) -> Any:
        value = self._default_handle(shape, node, prefix)  # type: ignore[attr-defined]
        try:
            return value if value is UNDEFINED else read(value)
        except ValueError:
            return value

    _parse_long = _parse_integer
    _parse_double = _parse_float


class _Query(_Plain, QueryParser):
    pass


class _Ec2Query(_Plain, EC2QueryParser):
    pass


def _query(
    service: str, protocol: str, environ: dict[str, Any], request: Request
) -> ProtocolRequest:
    form_data = request.args.to_dict()
    form_data |= dict(parse_qsl(_body(environ, request).decode(errors="replace"), True))
    form = _TrackedForm(form_data)
    operation = form.get("Action", "")
    model = operation_model(service, operation)
    if model is None:
        return ProtocolRequest(protocol, operation)
    parser: Any = (_Ec2Query if protocol == "ec2" else _Query)(model)
    parameters = parser.parse({"values": form})
    extra = {key for key in form_data if not key.startswith("X-Amz-")} - form.read_keys - COMMON
    return ProtocolRequest(protocol, operation, parameters, tuple(sorted(extra)))


def _rest(
    service: str, protocol: str, environ: dict[str, Any], request: Request
) -> ProtocolRequest:
    try:
        model, uri = get_service_router(service).match(MotoRequest(environ, populate_request=False))
    except HTTPException:
        return ProtocolRequest(protocol)
    shape: Any = model.input_shape
    payload = shape.serialization.get("payload") if shape is not None else None
    data = payload is not None and shape.members[payload].type_name == "blob"
    parser: Any = (RestXMLParser if protocol == "rest-xml" else RestJSONParser)(model)
    try:
        parameters = parser.parse(
            {
                "body": b"" if data and service == "s3" else _body(environ, request),
                "headers": request.headers,
                "method": request.method,
                "url_params": uri,
                "url_path": request.path,
                "values": request.args,
            }
        )
    except (RequestParserError, ValueError) as error:
        return ProtocolRequest(protocol, model.name, uri, unreadable=str(error))
    return ProtocolRequest(
        protocol, model.name, {k: v for k, v in parameters.items() if v is not None}
    )
