"""What a machine of the fleet is made from: user data and launch template."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from blocks import FleetTemplate
from blocks.resource_names import Names
from tasks.aws.errors import is_transient
from tasks.fleet.ami import MachineImage, describe, image_id
from tasks.runs.run import Run


def user_data(names: Names, cluster: str) -> str:
    """The script with which a machine joins the cluster as one of this app's, in base64.

    Spot draining is off unless asked for (Amazon ECS Developer Guide, "Amazon ECS container agent
    configuration"); with it, containers get SIGTERM as soon as an interruption is announced.
    """
    attributes = json.dumps({names.attribute: names.app}, separators=(",", ":"))
    script = (
        "#!/bin/bash\n"
        "cat >> /etc/ecs/ecs.config <<'END'\n"
        f"ECS_CLUSTER={cluster}\n"
        "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true\n"
        f"ECS_INSTANCE_ATTRIBUTES={attributes}\n"
        "END\n"
    )
    return base64.b64encode(script.encode()).decode()


def ec2_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as EC2's requests take them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def launch_template_data(run: Run, fleet: FleetTemplate, image: MachineImage) -> dict[str, Any]:
    """The launch template's data (EC2 API Reference, RequestLaunchTemplateData).

    IMDSv2 only; a hop more than EC2's default, since containers reach it through ECS's bridge. A
    fleet of type `maintain` tags machines and volumes by it alone (CreateFleet).
    """
    config = run.config
    tags = ec2_tags(run.tags | {"Name": run.names.app})
    network: dict[str, Any] = {"DeviceIndex": 0, "AssociatePublicIpAddress": config.assign_ip}
    if fleet.security_groups:
        network["Groups"] = list(fleet.security_groups)
    data: dict[str, Any] = {
        "ImageId": image.id,
        "IamInstanceProfile": fleet.instance_profile_specification,
        "UserData": user_data(run.names, config.ecs_cluster),
        "BlockDeviceMappings": [
            {
                "DeviceName": image.root_device,
                "Ebs": {
                    "VolumeSize": config.ebs_vol_size,
                    "VolumeType": "gp3",
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        "NetworkInterfaces": [network],
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
        ],
    }
    if fleet.key_name:
        data["KeyName"] = fleet.key_name
    return data


def find_launch_template(run: Run) -> str | None:
    """The id of the app's launch template, or None when there is none."""
    found = run.aws.ec2.describe_launch_templates(
        Filters=[{"Name": "launch-template-name", "Values": [run.names.launch_template]}]
    )["LaunchTemplates"]
    return found[0]["LaunchTemplateId"] if found else None


@dataclass(frozen=True)
class LaunchTemplate:
    """A version of a launch template.

    Attributes:
        id: The template's id.
        version: Its number. A fleet takes this one for all its life, not `$Latest`: another run of
            the app, or this one continued with another template, must not change what machines
            this fleet starts later; and a request that is repeated is the same request.
    """

    id: str
    version: str


def ensure_launch_template(run: Run, fleet: FleetTemplate) -> LaunchTemplate:
    """Make the launch template of the run, or a new version of the app's existing one.

    Returns:
        The version; the one there is when it says the same.
    """
    ec2 = run.aws.ec2
    data: Any = launch_template_data(run, fleet, _image(run, fleet))
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    existing = find_launch_template(run)
    if existing is None:
        specifications: Any = [{"ResourceType": "launch-template", "Tags": ec2_tags(run.tags)}]
        made = ec2.create_launch_template(
            LaunchTemplateName=run.names.launch_template,
            VersionDescription=digest,
            LaunchTemplateData=data,
            TagSpecifications=specifications,
        )["LaunchTemplate"]
        return LaunchTemplate(made["LaunchTemplateId"], str(made["LatestVersionNumber"]))
    for version in ec2.describe_launch_template_versions(
        LaunchTemplateId=existing, Versions=["$Latest"]
    )["LaunchTemplateVersions"]:
        if version.get("VersionDescription") == digest:
            return LaunchTemplate(existing, str(version["VersionNumber"]))
    newer = ec2.create_launch_template_version(
        LaunchTemplateId=existing, VersionDescription=digest, LaunchTemplateData=data
    )["LaunchTemplateVersion"]
    return LaunchTemplate(existing, str(newer["VersionNumber"]))


def _image(run: Run, fleet: FleetTemplate) -> MachineImage:
    """The image, as far as AWS tells of it: preflight names what is wrong with it."""
    named = image_id(run, fleet)
    try:
        found = describe(run.aws.ec2, [named])
    except ClientError as error:
        if is_transient(error):
            raise
        found = []
    return found[0] if found else MachineImage(named)


def delete_launch_template(run: Run) -> bool:
    """Delete the app's launch template; returns whether there was one."""
    existing = find_launch_template(run)
    if existing:
        run.aws.ec2.delete_launch_template(LaunchTemplateId=existing)
    return existing is not None
