"""The actions of IAM that preflight asks: roles, instance profiles, simulated policies.

The account's roles are not here, as its images and subnets are not: every one that is asked for is
there, but for those that the account is told to miss.
"""

from datetime import datetime
from typing import Any

from deployments.local.cloud import Cloud, Region
from deployments.local.refused import Refused
from deployments.local.settings import ACCOUNT_ID

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


def _there(cloud: Cloud, kind: str, name: str) -> None:
    if name in cloud.account.missing:
        raise Refused("NoSuchEntity", f"The {kind} with name {name} cannot be found.")


def get_role(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """GetRole.

    Raises:
        Refused: When the account misses it.
    """
    _there(cloud, "role", params["RoleName"])
    return {"Role": _role(params["RoleName"])}


def get_instance_profile(cloud: Cloud, region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """GetInstanceProfile: a profile has the role of its own name, unless that is missing.

    Raises:
        Refused: When the account misses it.
    """
    name = params["InstanceProfileName"]
    _there(cloud, "instance profile", name)
    return {
        "InstanceProfile": {
            "Path": "/",
            "InstanceProfileName": name,
            "InstanceProfileId": "AIPALOCALLOCALLOCAL00",
            "Arn": f"arn:aws:iam::{ACCOUNT_ID}:instance-profile/{name}",
            "CreateDate": CREATED,
            "Roles": [] if f"role of {name}" in cloud.account.missing else [_role(name)],
        }
    }


def simulate_principal_policy(
    cloud: Cloud, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """SimulatePrincipalPolicy: what the account does not refuse is allowed.

    Source: "IAM policy testing with the IAM policy simulator" in the IAM User Guide.
    """
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": "implicitDeny"
            if cloud.account.refuses(action, resource)
            else "allowed",
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
