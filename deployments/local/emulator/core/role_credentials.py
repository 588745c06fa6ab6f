"""Credentials for the roles of machines, tasks and functions."""

import uuid
from typing import Any

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import EmulatorState


def role_credentials(emulator: EmulatorState, owner: str, role_arn: str) -> dict[str, str]:
    """Return a task's or machine's credentials for its role, which never change."""
    if owner not in emulator.credentials:
        emulator.credentials[owner] = {
            "AccessKeyId": f"ASIA{uuid.uuid4().hex[:16].upper()}",
            "SecretAccessKey": uuid.uuid4().hex,
            "Token": uuid.uuid4().hex,
            "RoleArn": role_arn,
        }
    return emulator.credentials[owner]


def role_arn_of(profile: Any) -> str:
    """Return an ARN for the role of an instance profile, given by name or ARN."""
    name = str((profile or {}).get("Name") or (profile or {}).get("Arn", "")).rpartition("/")[2]
    return f"arn:aws:iam::{ACCOUNT_ID}:role/{name}" if name else ""
