"""Refuses requests with another access key than the emulator's own."""

import json
import re
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

from deployments.local.emulator.core.state import EmulatorState

CREDENTIAL = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")
MESSAGE = "The security token included in the request is invalid."


def refusal(emulator: EmulatorState, request: Request) -> Response | None:
    """Return the response to a refused request, None for an accepted one.

    Each service has its own code and format: `AuthFailure` of EC2 ("Error codes for the Amazon EC2
    API"), `InvalidAccessKeyId` of S3 ("Error responses" of the Amazon S3 API),
    `UnrecognizedClientException` and `InvalidClientTokenId` of the rest ("Common Errors").
    """
    accepted_key = emulator.settings.access_key
    signature = request.headers.get("Authorization", "")
    match = CREDENTIAL.search(signature) or CREDENTIAL.search(f"Credential={_presigned(request)}")
    if (
        not accepted_key
        or match is None
        or match["key"] == accepted_key
        or match["key"] in _issued(emulator)
    ):
        return None
    service = match["service"]
    if service == "ec2":
        return _xml(
            401, "AuthFailure", "AWS was not able to validate the provided access credentials"
        )
    if service == "s3":
        return _xml(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist.")
    if "X-Amz-Target" in request.headers or "json" in request.headers.get("Content-Type", ""):
        code = "InvalidClientTokenId" if service == "sqs" else "UnrecognizedClientException"
        body = json.dumps({"__type": code, "message": MESSAGE})
        return Response(body, 403, content_type="application/x-amz-json-1.1")
    return _xml(403, "InvalidClientTokenId", MESSAGE)


def _presigned(request: Request) -> str:
    return request.args.get("X-Amz-Credential", "")


def _issued(emulator: EmulatorState) -> set[str]:
    return {credential["AccessKeyId"] for credential in list(emulator.credentials.values())}


def _xml(status: int, code: str, message: str) -> Response:
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    bodies = {
        "AuthFailure": f"<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>",
        "InvalidAccessKeyId": error,
        "InvalidClientTokenId": f"<ErrorResponse>{error}</ErrorResponse>",
    }
    return Response(bodies[code], status, content_type="text/xml")
