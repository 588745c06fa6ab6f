"""Denies requests of the account's caller in the format of each protocol; answers dry runs."""

from werkzeug.wrappers import Response

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import EmulatorState
from deployments.local.emulator.protocol.request import ApiRequest
from deployments.local.emulator.protocol.responses import error

CALLER = f"arn:aws:iam::{ACCOUNT_ID}:user/local"


def denial(emulator: EmulatorState, api_request: ApiRequest) -> Response | None:
    """The response to a denied request; None for an allowed one.

    Machines and containers have their own roles, so denials of the caller do not apply to them.
    Sources: "Error codes for the Amazon EC2 API" (`UnauthorizedOperation`), "Error responses" of
    the Amazon S3 API, "Common Errors" of the others.
    """
    if emulator.owner_of(api_request.key) is None and emulator.account.refuses(api_request.action):
        return refused(api_request, CALLER, api_request.action)
    return None


def refused(api_request: ApiRequest, who: str, action: str, resource: str = "*") -> Response:
    """The response to a request that the caller's policies do not allow.

    Args:
        api_request: The request.
        who: ARN of the principal.
        action: The IAM action that is not allowed.
        resource: ARN of the resource, or `*`.
    """
    text = (
        f"User: {who} is not authorized to perform: {action} on resource: {resource} because no "
        f"identity-based policy allows the {action} action"
    )
    if api_request.service == "ec2":
        text = f"You are not authorized to perform this operation. {text}"
        return error(api_request, "UnauthorizedOperation", text, 403)
    if api_request.service in ("s3", "iam", "sts", "sns", "sqs", "monitoring"):
        return error(api_request, "AccessDenied", text, 403)
    return error(api_request, "AccessDeniedException", text, 400)


def dry_run(api_request: ApiRequest) -> Response | None:
    """EC2's response to a valid dry run ("Error codes", DryRunOperation)."""
    if not api_request.dry_run:
        return None
    text = "Request would have succeeded, but DryRun flag is set."
    return error(api_request, "DryRunOperation", text, 412)
