"""The caller of a request and its policies: roles of machines and containers, assumed roles, users.

Only roles and users of the emulated IAM have policies. A key that belongs to none of them, such as
`local` in tests, and an unknown role may do anything. With the account's switch `enforce`, an
unknown role may do nothing.
"""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from moto.iam.models import iam_backends
from werkzeug.wrappers import Response

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import EmulatorState
from deployments.local.emulator.guards.forced_denials import refused
from deployments.local.emulator.guards.iam_policies import Document, allows
from deployments.local.emulator.guards.iam_requirements import required_permissions
from deployments.local.emulator.guards.sts_sessions import assumed_role
from deployments.local.emulator.protocol.request import ApiRequest

# Actions without required permissions ("GetCallerIdentity": no permissions are required).
FREE = {"sts:GetCallerIdentity"}


@dataclass(frozen=True)
class Principal:
    """The caller of a request.

    Attributes:
        arn: The ARN, as in error messages.
        policies: Its identity-based policies.
    """

    arn: str
    policies: tuple[Document, ...]


def iam() -> Any:
    """moto's IAM."""
    return iam_backends[ACCOUNT_ID]["aws"]


def forbidden(emulator: EmulatorState, api_request: ApiRequest) -> Response | None:
    """The response to a request without the required permissions; None for any other."""
    who = principal(emulator, api_request.key)
    if who is None or not api_request.action or api_request.action in FREE:
        return None
    with emulator.lock:
        for need in required_permissions(emulator, api_request):
            if not allows(who.policies, need.action, need.resource, need.context):
                return refused(api_request, who.arn, need.action, need.resource)
    return None


def principal(emulator: EmulatorState, key: str) -> Principal | None:
    """The owner of an access key; None if it may do anything."""
    issued = emulator.owner_of(key)
    if issued is not None:
        return _with_role(emulator, *issued)
    assumed = assumed_role(key)
    if assumed is not None:
        return _with_role(emulator, assumed.session_name, assumed.role_arn)
    for user in iam().users.values():
        if any(access_key.access_key_id == key for access_key in user.access_keys):
            return Principal(user.arn, policies_of(user))
    return None


def _with_role(emulator: EmulatorState, session: str, role_arn: str) -> Principal | None:
    name = role_arn.rpartition("/")[2]
    arn = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{name}/{session}"
    role = find_role(name)
    if role is None:
        return Principal(arn, ()) if emulator.account.enforce else None
    return Principal(arn, policies_of(role))


def find_role(name: str) -> Any:
    """moto's record of a role, None if there is none."""
    return next((role for role in iam().roles.values() if role.name == name), None)


def policies_of(owner: Any) -> tuple[Document, ...]:
    """The inline and the managed policies of a role or a user."""
    inline = owner.policies.values()
    managed = [
        version.document
        for managed_policy in owner.managed_policies.values()
        for version in managed_policy.versions
        if version.is_default
    ]
    return tuple(_document(text) for text in (*inline, *managed))


def _document(text: Any) -> Document:
    document: Document = json.loads(unquote(text)) if isinstance(text, str) else text
    return document
