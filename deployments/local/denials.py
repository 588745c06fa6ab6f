"""Refuses what the account's caller may not do, each protocol in its own form; and dry runs."""

import json
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from deployments.local.asked import Asked
from deployments.local.cloud import Cloud
from deployments.local.settings import ACCOUNT_ID

CALLER = f"arn:aws:iam::{ACCOUNT_ID}:user/local"


def denial(cloud: Cloud, asked: Asked) -> Response | None:
    """The answer to a request that is refused or is a dry run; None for one that is let in.

    Machines and containers have roles of their own: what the caller is refused is not refused to
    them. Sources: "Error codes for the Amazon EC2 API" (`UnauthorizedOperation`,
    `DryRunOperation`), "Error responses" of the Amazon S3 API, "Common Errors" of the others, and
    AWS JSON 1.0's header for services that spoke the query protocol before.
    """
    issued = {one["AccessKeyId"] for one in list(cloud.credentials.values())}
    if asked.key not in issued and cloud.account.refuses(asked.action):
        return _refused(asked)
    if asked.service == "ec2" and asked.dry_run:
        return _ec2(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
    return None


def _refused(asked: Asked) -> Response:
    text = (
        f"User: {CALLER} is not authorized to perform: {asked.action} on resource: * because no "
        f"identity-based policy allows the {asked.action} action"
    )
    if asked.service == "ec2":
        refused = f"You are not authorized to perform this operation. {text}"
        return _ec2(403, "UnauthorizedOperation", refused)
    if asked.service == "s3":
        error = f"<Error><Code>AccessDenied</Code><Message>{escape(text)}</Message></Error>"
        return Response(error, 403, content_type="application/xml")
    if asked.service in ("iam", "sts"):
        error = f"<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>{escape(text)}"
        body = f"<ErrorResponse>{error}</Message></Error></ErrorResponse>"
        return Response(body, 403, content_type="text/xml")
    spoke_query = asked.service in ("sqs", "monitoring")
    code = "AccessDenied" if spoke_query else "AccessDeniedException"
    body = json.dumps({"__type": code, "message": text})
    headers = {"x-amzn-query-error": f"{code};Sender"} if spoke_query else {}
    status = 403 if spoke_query else 400
    return Response(body, status, headers, content_type="application/x-amz-json-1.0")


def _ec2(status: int, code: str, text: str) -> Response:
    error = f"<Error><Code>{code}</Code><Message>{escape(text)}</Message></Error>"
    body = f"<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>"
    return Response(body, status, content_type="text/xml")
