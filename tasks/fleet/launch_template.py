"""User data and launch template of the fleet's machines."""

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
    """The script with which a machine joins the cluster as a machine of this app, in base64.

    It enables Spot draining, so that containers get SIGTERM as soon as AWS announces an
    interruption (Amazon ECS Developer Guide, "Amazon ECS container agent configuration").
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
    """Tags in the format of EC2's requests."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def launch_template_data(run: Run, fleet: FleetTemplate, image: MachineImage) -> dict[str, Any]:
    """The launch template's data (EC2 API Reference, RequestLaunchTemplateData).

    It allows only IMDSv2, with one hop more than EC2's default, because containers reach it through
    ECS's bridge. A fleet of type `maintain` tags machines and volumes only from it (CreateFleet).
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
    """The id of the app's launch template; None if it does not exist."""
    templates = run.aws.ec2.describe_launch_templates(
        Filters=[{"Name": "launch-template-name", "Values": [run.names.launch_template]}]
    )["LaunchTemplates"]
    return templates[0]["LaunchTemplateId"] if templates else None


@dataclass(frozen=True)
class LaunchTemplate:
    """A version of a launch template.

    Attributes:
        id: The template's id.
        version: Its number. A fleet uses it throughout, not `$Latest`: another run of the app, or a
            continuation with another template, must not change the machines that the fleet
            launches later. It also keeps a repeated request identical.
    """

    id: str
    version: str


def ensure_launch_template(run: Run, fleet: FleetTemplate) -> LaunchTemplate:
    """Create the app's launch template, or a new version if it differs; returns the version."""
    ec2 = run.aws.ec2
    data: Any = launch_template_data(run, fleet, _image(run, fleet))
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    existing = find_launch_template(run)
    if existing is None:
        specifications: Any = [{"ResourceType": "launch-template", "Tags": ec2_tags(run.tags)}]
        created = ec2.create_launch_template(
            LaunchTemplateName=run.names.launch_template,
            VersionDescription=digest,
            LaunchTemplateData=data,
            TagSpecifications=specifications,
        )["LaunchTemplate"]
        return LaunchTemplate(created["LaunchTemplateId"], str(created["LatestVersionNumber"]))
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
    """The image as AWS describes it; preflight reports what is wrong with it."""
    image = image_id(run, fleet)
    try:
        images = describe(run.aws.ec2, [image])
    except ClientError as error:
        if is_transient(error):
            raise
        images = []
    return images[0] if images else MachineImage(image)


def delete_launch_template(run: Run) -> bool:
    """Delete the app's launch template; returns whether it existed."""
    existing = find_launch_template(run)
    if existing:
        run.aws.ec2.delete_launch_template(LaunchTemplateId=existing)
    return existing is not None
