"""Denies requests of the account's caller in the format of each protocol; answers dry runs."""

from werkzeug.wrappers import Response

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import Cloud
from deployments.local.emulator.protocol.request import Asked
from deployments.local.emulator.protocol.responses import error

CALLER = f"arn:aws:iam::{ACCOUNT_ID}:user/local"


def denial(cloud: Cloud, asked: Asked) -> Response | None:
    """The response to a denied request; None for an allowed one.

    Machines and containers have their own roles, so denials of the caller do not apply to them.
    Sources: "Error codes for the Amazon EC2 API" (`UnauthorizedOperation`), "Error responses" of
    the Amazon S3 API, "Common Errors" of the others.
    """
    if cloud.owner_of(asked.key) is None and cloud.account.refuses(asked.action):
        return refused(asked, CALLER, asked.action)
    return None


def refused(asked: Asked, who: str, action: str, resource: str = "*") -> Response:
    """The response to a request that the caller's policies do not allow.

    Args:
        asked: The request.
        who: ARN of the principal.
        action: The IAM action that is not allowed.
        resource: ARN of the resource, or `*`.
    """
    text = (
        f"User: {who} is not authorized to perform: {action} on resource: {resource} because no "
        f"identity-based policy allows the {action} action"
    )
    if asked.service == "ec2":
        text = f"You are not authorized to perform this operation. {text}"
        return error(asked, "UnauthorizedOperation", text, 403)
    if asked.service in ("s3", "iam", "sts", "sns", "sqs", "monitoring"):
        return error(asked, "AccessDenied", text, 403)
    return error(asked, "AccessDeniedException", text, 400)


def dry_run(asked: Asked) -> Response | None:
    """EC2's response to a valid dry run ("Error codes", DryRunOperation)."""
    if not asked.dry_run:
        return None
    text = "Request would have succeeded, but DryRun flag is set."
    return error(asked, "DryRunOperation", text, 412)
