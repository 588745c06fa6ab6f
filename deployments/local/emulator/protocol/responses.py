"""Responses in the formats of AWS: errors in the protocol of each service, and JSON."""

import json
import uuid
from typing import Any
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from deployments.local.emulator.protocol.request import ApiRequest

# Services that used the query protocol earlier; a header has their old codes (AWS JSON protocol,
# `awsQueryCompatible`).
SPOKE_QUERY = ("sqs", "monitoring")


def error(api_request: ApiRequest, code: str, text: str, status: int = 400) -> Response:
    """An error response.

    Args:
        api_request: The request.
        code: The error code in the service's API reference.
        text: The message.
        status: The HTTP status.
    """
    match api_request.protocol:
        case "ec2":
            element = f"<Error><Code>{code}</Code><Message>{escape(text)}</Message></Error>"
            body = f"<Response><Errors>{element}</Errors><RequestID>{_id()}</RequestID></Response>"
            return Response(body, status, content_type="text/xml")
        case "rest-xml":
            body = f"<Error><Code>{code}</Code><Message>{escape(text)}</Message></Error>"
            return Response(body, status, content_type="application/xml")
        case "query":
            kind = "Sender" if status < 500 else "Receiver"
            start = f"<Error><Type>{kind}</Type><Code>{code}</Code><Message>{escape(text)}"
            body = f"<ErrorResponse>{start}</Message></Error></ErrorResponse>"
            return Response(body, status, content_type="text/xml")
    headers = {"x-amzn-ErrorType": code, "x-amzn-RequestId": _id()}
    if api_request.service in SPOKE_QUERY:
        headers["x-amzn-query-error"] = f"{code};{'Sender' if status < 500 else 'Receiver'}"
    body = json.dumps({"__type": code, "message": text})
    return Response(body, status, headers, content_type="application/x-amz-json-1.0")


def _id() -> str:
    return str(uuid.uuid4())


def answer_json(value: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(json.dumps(value), status, content_type="application/json")
