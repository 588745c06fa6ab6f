"""What a machine of the fleet is: user data, launch template, and its traces in EC2 and ECS."""

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from blocks import FleetTemplate
from blocks.names import Names
from tasks.aws import is_transient
from tasks.images import MachineImage, describe, image_id
from tasks.run import Run

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef
    from mypy_boto3_ecs.type_defs import ContainerInstanceTypeDef

LIVE_STATES = ["pending", "running", "stopping", "stopped"]


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


def app_instances(ec2: "EC2Client", app: str) -> Iterator["InstanceTypeDef"]:
    """All instances tagged as the app's as EC2 describes them, also those that have just ended."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": f"tag:{Names.app_tag}", "Values": [app]}]
    )
    for page in pages:
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def live_machines(ec2: "EC2Client", app: str) -> list[str]:
    """The ids of all instances tagged as the app's that cost money still."""
    return [
        instance["InstanceId"]
        for instance in app_instances(ec2, app)
        if instance["State"]["Name"] in LIVE_STATES
    ]


def terminate(ec2: "EC2Client", instance_ids: Iterable[str]) -> None:
    """Terminate machines, at most 1000 in a request as EC2 recommends."""
    for ids in batches(instance_ids, 1000):
        ec2.terminate_instances(InstanceIds=ids)


def tasks_by_machine(run: Run) -> dict[str, int]:
    """Containers, running or about to, on each of the app's registered machines.

    Returns:
        EC2 instance id to number of ECS tasks, of every kind: a machine without any is idle.
    """
    return {
        machine["ec2InstanceId"]: machine["runningTasksCount"] + machine["pendingTasksCount"]
        for machine in container_instances(run)
    }


def container_instances(run: Run) -> Iterator["ContainerInstanceTypeDef"]:
    """The app's machines in the cluster, as ECS describes them, a hundred in a call."""
    for arns in batches(_container_instances(run), 100):
        described = run.aws.ecs.describe_container_instances(
            cluster=run.config.ecs_cluster, containerInstances=arns
        )
        yield from described["containerInstances"]


def deregister_machines(run: Run, alive: Collection[str]) -> int:
    """Deregister the app's container instances whose machines are gone; returns how many.

    ECS does this by itself when an instance is terminated while its agent is connected, and
    otherwise keeps a dead entry that would keep the cluster (ECS, DeregisterContainerInstance).

    Args:
        run: The run.
        alive: The ids of machines that are still there.
    """
    dead = [one for one in container_instances(run) if one["ec2InstanceId"] not in alive]
    for one in dead:
        run.aws.ecs.deregister_container_instance(
            cluster=run.config.ecs_cluster,
            containerInstance=one["containerInstanceArn"],
            force=True,
        )
    return len(dead)


def _container_instances(run: Run) -> Iterator[str]:
    pages = run.aws.ecs.get_paginator("list_container_instances").paginate(
        cluster=run.config.ecs_cluster, filter=run.names.placement
    )
    for page in pages:
        yield from page["containerInstanceArns"]


def batches(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
