"""The IAM actions that preflight calls: roles, instance profiles, simulated policies.

Roles and profiles created here exist as created. Like images and subnets, all others exist too,
except those in the account's `missing`. With the account's switch `enforce`, no others exist.
"""

from datetime import datetime
from typing import Any

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import EmulatorState, Region
from deployments.local.emulator.guards.iam_policies import allows
from deployments.local.emulator.guards.iam_principals import find_role, iam, policies_of
from deployments.local.emulator.protocol.exceptions import ApiError

CREATED = datetime(2020, 1, 1)


def _role(name: str) -> dict[str, Any]:
    return {
        "Path": "/",
        "RoleName": name,
        "RoleId": "AROALOCALLOCALLOCAL00",
        "Arn": f"arn:aws:iam::{ACCOUNT_ID}:role/{name}",
        "CreateDate": CREATED,
        "AssumeRolePolicyDocument": "{}",
    }


def _check_exists(emulator: EmulatorState, kind: str, name: str) -> None:
    if name in emulator.account.missing or emulator.account.enforce:
        raise ApiError("NoSuchEntity", f"The {kind} with name {name} cannot be found.")


def get_role(emulator: EmulatorState, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """GetRole.

    Raises:
        ApiError: The role does not exist.
    """
    if (role := find_role(params["RoleName"])) is not None:
        return {"Role": role}
    _check_exists(emulator, "role", params["RoleName"])
    return {"Role": _role(params["RoleName"])}


def get_instance_profile(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """GetInstanceProfile: a profile has the role with the same name, unless that is missing.

    Raises:
        ApiError: The profile does not exist.
    """
    name = params["InstanceProfileName"]
    profile = next(
        (
            instance_profile
            for instance_profile in iam().instance_profiles.values()
            if instance_profile.name == name
        ),
        None,
    )
    if profile is not None:
        return {"InstanceProfile": profile}
    _check_exists(emulator, "instance profile", name)
    return {
        "InstanceProfile": {
            "Path": "/",
            "InstanceProfileName": name,
            "InstanceProfileId": "AIPALOCALLOCALLOCAL00",
            "Arn": f"arn:aws:iam::{ACCOUNT_ID}:instance-profile/{name}",
            "CreateDate": CREATED,
            "Roles": [] if f"role of {name}" in emulator.account.missing else [_role(name)],
        }
    }


def simulate_principal_policy(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """SimulatePrincipalPolicy: by the policies of a created role, else by the denied actions.

    Source: "IAM policy testing with the IAM policy simulator" in the IAM User Guide.
    """
    role = find_role(params["PolicySourceArn"].rpartition("/")[2])
    context = {
        context_entry["ContextKeyName"]: context_entry["ContextKeyValues"]
        for context_entry in params.get("ContextEntries", [])
    }

    def allowed(action: str, resource: str) -> bool:
        if emulator.account.refuses(action, resource):
            return False
        return role is None or allows(policies_of(role), action, resource, context)

    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": "allowed" if allowed(action, resource) else "implicitDeny",
            "MatchedStatements": [],
            "MissingContextValues": [],
        }
        for action in params["ActionNames"]
        for resource in params.get("ResourceArns") or ["*"]
    ]
    return {"EvaluationResults": results, "IsTruncated": False}


ACTIONS = {
    "GetRole": get_role,
    "GetInstanceProfile": get_instance_profile,
    "SimulatePrincipalPolicy": simulate_principal_policy,
}
