"""The instance metadata service (IMDS), which AWS has at a link-local address.

Sources: "Use the Instance Metadata Service to access instance metadata", "Spot Instance
interruption notices" and "EC2 instance rebalance recommendations" in the Amazon EC2 User
Guide.
"""

import json
import uuid
from datetime import datetime, timedelta

from werkzeug.wrappers import Request, Response

from deployments.local.emulator.core.role_credentials import role_arn_of, role_credentials
from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import EmulatedMachine, EmulatorState, Region, now
from deployments.local.emulator.ec2.instances import user_data

# IMDSv2 tokens, valid for every emulated instance of this process.
TOKENS: set[str] = set()


def stamp(time: datetime) -> str:
    """Return a time in the format of AWS's metadata services."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def imds(emulator: EmulatorState, request: Request, instance_id: str, path: str) -> Response:
    """Answer like the instance metadata service, version 2 only."""
    located = emulator.find_machine(instance_id)
    if located is None or not located[1].alive:
        return Response("", 404)
    if path == "latest/api/token":
        if request.method != "PUT":
            return Response("", 405)
        token = uuid.uuid4().hex
        TOKENS.add(token)
        ttl = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        return Response(token, headers={"X-aws-ec2-metadata-token-ttl-seconds": ttl})
    if request.headers.get("X-aws-ec2-metadata-token") not in TOKENS:
        return Response("", 401)
    text = metadata(emulator, *located, path.removeprefix("latest/").rstrip("/"))
    return Response("", 404) if text is None else Response(text, content_type="text/plain")


def metadata(
    emulator: EmulatorState, region: Region, machine: EmulatedMachine, path: str
) -> str | None:
    """Return the metadata at a path below `latest/`, None if there is none."""
    instance = machine.instance
    zone = instance.availability_zone
    plain = {
        "meta-data/instance-id": instance.id,
        "meta-data/instance-type": instance.instance_type,
        "meta-data/ami-id": instance.image_id,
        "meta-data/instance-life-cycle": instance.lifecycle or "on-demand",
        "meta-data/local-ipv4": instance.private_ip_address,
        "meta-data/placement/region": region.name,
        "meta-data/placement/availability-zone": zone,
    }
    if path in plain:
        return str(plain[path])
    if path == "user-data" and instance.user_data:
        return user_data(machine)
    if path == "meta-data/spot/instance-action" and machine.interruption_at is not None:
        return json.dumps({"action": "terminate", "time": stamp(machine.interruption_at)})
    if path == "meta-data/spot/termination-time" and machine.interruption_at is not None:
        return stamp(machine.interruption_at)
    if path == "meta-data/events/recommendations/rebalance" and machine.recommended_at is not None:
        return json.dumps({"noticeTime": stamp(machine.recommended_at)})
    if path == "dynamic/instance-identity/document":
        document = {
            "accountId": ACCOUNT_ID,
            "architecture": instance.architecture,
            "availabilityZone": zone,
            "imageId": instance.image_id,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "pendingTime": stamp(instance.launch_time),
            "privateIp": instance.private_ip_address,
            "region": region.name,
            "version": "2017-09-30",
        }
        return json.dumps(document)
    return instance_role(emulator, machine, path)


def instance_role(emulator: EmulatorState, machine: EmulatedMachine, path: str) -> str | None:
    """Return the name or the credentials of the instance's role."""
    role = role_arn_of(machine.instance.iam_instance_profile)
    base, name = "meta-data/iam/security-credentials", role.rpartition("/")[2]
    if not role or path not in (base, f"{base}/{name}"):
        return None
    if path == base:
        return name
    return json.dumps(
        {"Code": "Success", "Type": "AWS-HMAC", **credentials(emulator, machine.instance.id, role)}
    )


def credentials(emulator: EmulatorState, owner: str, role: str) -> dict[str, str]:
    """Return role credentials with their (far) expiration."""
    expiration = stamp(now() + timedelta(hours=6))
    return {**role_credentials(emulator, owner, role), "Expiration": expiration}
