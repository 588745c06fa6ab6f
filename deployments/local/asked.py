"""What a request asks for: which action of which service, by whom."""

import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from werkzeug.wrappers import Request

from tasks.iam_actions import action_of

CREDENTIAL = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")
OPERATION = re.compile(r"/service/[^/]+/operation/(?P<name>\w+)")
IAM_NAMES = {"monitoring": "cloudwatch"}  # signing name to the name that IAM has


@dataclass(frozen=True)
class Asked:
    """A request, understood as far as permissions need it.

    Attributes:
        service: The service's signing name.
        action: The IAM action, such as `sqs:CreateQueue`; "" when it is none that is known.
        key: The access key id.
        dry_run: Whether EC2 is only asked whether it would be allowed.
    """

    service: str
    action: str
    key: str
    dry_run: bool = False


def asked(environ: dict[str, Any], request: Request) -> Asked | None:
    """Understand a request; None when it is not signed.

    The form of the query protocols is read and put back; other bodies are left alone.
    """
    signature = request.headers.get("Authorization", "")
    presigned = f"Credential={request.args.get('X-Amz-Credential', '')}"
    signed = CREDENTIAL.search(signature) or CREDENTIAL.search(presigned)
    if signed is None:
        return None
    service = signed["service"]
    name = IAM_NAMES.get(service, service)
    if service == "s3":
        return Asked(service, f"s3:{_s3(request)}", signed["key"])
    if target := request.headers.get("X-Amz-Target", ""):
        return Asked(service, action_of(name, target.rpartition(".")[2]), signed["key"])
    if operation := OPERATION.search(request.path):
        return Asked(service, action_of(name, operation["name"]), signed["key"])
    form = _form(environ, request)
    operation_name = form.get("Action", [""])[0]
    dry_run = form.get("DryRun", [""])[0] == "true"
    action = action_of(name, operation_name) if operation_name else ""
    return Asked(service, action, signed["key"], dry_run)


def _form(environ: dict[str, Any], request: Request) -> dict[str, list[str]]:
    if "x-www-form-urlencoded" not in request.headers.get("Content-Type", ""):
        return {}
    body = request.get_data(cache=False)
    environ["wsgi.input"] = BytesIO(body)
    return parse_qs(body.decode(), keep_blank_values=True)


def _s3(request: Request) -> str:
    """The action of an S3 request ("Actions, resources, and condition keys for Amazon S3")."""
    bucket, _, key = request.path.lstrip("/").partition("/")
    reads = request.method in ("GET", "HEAD")
    if not bucket:
        return "ListAllMyBuckets"
    if key:
        writes = {"DELETE": "DeleteObject"}.get(request.method, "PutObject")
        return "GetObject" if reads else writes
    if "location" in request.args:
        return "GetBucketLocation"
    if "delete" in request.args:
        return "DeleteObject"
    return "ListBucket" if reads else "CreateBucket"
