"""What AWS says when machines or containers do not come, what it means, and what to do. Data.

The texts are those of "Error codes for the Amazon EC2 API" and EventInformation (Amazon EC2 API
Reference), and of "Resolve Amazon ECS stopped task errors", "CannotPullContainer task errors" and
"Amazon ECS service event messages" (Amazon ECS Developer Guide). docs/aws.md shows these tables.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Level = Literal["configuration", "capacity", "notice"]
LEVELS: tuple[Level, ...] = ("configuration", "capacity", "notice")
"""Waiting does not help; waiting may help; worth knowing."""


@dataclass(frozen=True)
class Cause:
    """A thing that goes wrong, and how AWS's words tell it.

    Attributes:
        code: Its name, the same however the words change.
        level: What it means while nothing works; what works already makes a notice of it.
        summary: What is wrong.
        remedy: What to do.
        words: Regular expression of what AWS says, in any case of letters.
        times: How often it must happen before it is believed.
        of_place: Whether another machine type or subnet may be free of it.
    """

    code: str
    level: Level
    summary: str
    remedy: str
    words: str
    times: int = 1
    of_place: bool = False

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.words, re.IGNORECASE | re.DOTALL)

    def tells(self, text: str) -> bool:
        """Whether this is what the text says."""
        return self._pattern.search(text) is not None


UNKNOWN = Cause(
    "unknown",
    "notice",
    "AWS reports an error",
    "Look its words up in AWS's documentation.",
    "",
)

FLEET: Sequence[Cause] = (
    Cause(
        "fleet_role",
        "configuration",
        "the fleet's role may not start machines",
        "Look at IamFleetRole of the fleet file: it needs the policy "
        "AmazonEC2SpotFleetTaggingRole, and trust in spotfleet.amazonaws.com.",
        "iamFleetRoleInvalid|IamFleetRole",
    ),
    Cause(
        "machine_image",
        "configuration",
        "the machine image is not there, or not for this account",
        "Look at image_id in the fleet template (ImageId of a fleet file); images belong to a "
        "region.",
        r"InvalidAMIID|InvalidImageID|image id '.*' (does not exist|is not valid)"
        r"|Not authorized for images",
    ),
    Cause(
        "architecture",
        "configuration",
        "the machine type and the machine image are for different processors",
        "Set architecture in the fleet template to that of machine_type, or name another image_id.",
        "architecture '.*' of the specified|does not match the architecture",
    ),
    Cause(
        "instance_profile",
        "configuration",
        "the instance profile is not there",
        "Look at instance_profile in the fleet template; make it in IAM (docs/aws.md).",
        r"iamInstanceProfile|Invalid IAM Instance Profile|instance profile.*(not exist|not found)",
    ),
    Cause(
        "security_group",
        "configuration",
        "a security group is not there, or belongs to another network than the subnet",
        "Look at security_groups and subnets in the fleet template: they must be of one VPC.",
        r"InvalidGroup|InvalidSecurityGroup|security group.*does not exist|different networks",
    ),
    Cause(
        "subnet_full",
        "capacity",
        "a subnet has no free addresses left",
        "Add subnets to the fleet template, or ask for fewer, larger machines.",
        r"InsufficientFreeAddressesInSubnet|not enough free addresses",
    ),
    Cause(
        "subnet",
        "configuration",
        "there is no such subnet",
        "Look at subnets in the fleet template; without any, the account needs a default VPC.",
        r"InvalidSubnet|subnet.*does not exist|No default (VPC|subnet)|VPCIdNotSpecified"
        r"|Subnet.*cannot be used",
        of_place=True,
    ),
    Cause(
        "key_pair",
        "configuration",
        "there is no such key pair",
        "Look at key_name in the fleet template, or leave it out.",
        r"InvalidKeyPair|key pair '.*' does not exist",
    ),
    Cause(
        "volume_size",
        "configuration",
        "the volume is smaller than the snapshot of the machine image",
        "Raise ebs_vol_size to the size that AWS names.",
        r"smaller than snapshot|expect size",
    ),
    Cause(
        "encryption",
        "configuration",
        "the encrypted volume cannot be made: its KMS key may not be used",
        "Look at the key for EBS encryption (EC2 console, Data protection and security) and at its "
        "policy: the service-linked roles AWSServiceRoleForEC2Fleet, AWSServiceRoleForEC2Spot and "
        "AWSServiceRoleForEC2SpotFleet need kms:CreateGrant, Decrypt and GenerateDataKey.",
        r"kms|Client\.InternalError|Client error on launch",
        times=2,
    ),
    Cause(
        "launch_permission",
        "configuration",
        "AWS does not permit the launch",
        "Look at ec2:RunInstances, ec2:CreateTags and iam:PassRole of whoever runs the flows, at "
        "the service-linked roles of EC2 Fleet and Spot, and at policies of the organisation.",
        r"Unauthorized|not authorized|AccessDenied|AuthFailure|service-linked role"
        r"|explicit deny",
    ),
    Cause(
        "price_too_low",
        "capacity",
        "machine_price is below the spot price",
        "Raise machine_price, or name more machine types.",
        r"SpotMaxPriceTooLow|launchSpecUnusable|fleetProgressHalted|bid price is less"
        r"|lower than the minimum required Spot",
    ),
    Cause(
        "price_invalid",
        "configuration",
        "machine_price is no price",
        "Set machine_price to more than 0.001 USD an hour.",
        r"(invalid|bad).{0,30}price|MaxPrice|price.{0,30}(invalid|must be more)",
    ),
    Cause(
        "quota",
        "capacity",
        "the account's quota is used up",
        "Ask for more in Service Quotas, under Amazon EC2 (spot and on-demand vCPUs) or EBS "
        "(storage); or end other machines.",
        r"MaxSpotInstanceCount|Max Spot Instance Count|spotInstanceCountLimit"
        r"|Spot Max Instance Count|VcpuLimitExceeded|vCPU (capacity|limit)|InstanceLimitExceeded"
        r"|VolumeLimitExceeded|Volume limit exceeded|PendingVerification",
    ),
    Cause(
        "unsupported",
        "configuration",
        "a machine type cannot be had in a zone, or not as it is asked for",
        "Name other machine types or subnets of other zones.",
        r"Unsupported|not supported in your requested|currently not supported",
        of_place=True,
    ),
    Cause(
        "no_capacity",
        "capacity",
        "AWS has no machines of these types to give at present",
        "Name more machine types and subnets of more zones, or set on_demand_share.",
        r"InsufficientInstanceCapacity|InsufficientCapacity|insufficient.{0,40}capacity"
        r"|no Spot capacity|UnfulfillableCapacity|Unable to fulfill capacity"
        r"|capacity.not.available",
    ),
    Cause(
        "fleet_request",
        "configuration",
        "AWS refuses the machines as they are asked for",
        "Look at the fleet template and machine_type.",
        r"spotFleetRequestConfigurationInvalid|InvalidParameter|InvalidFleetConfig"
        r"|InvalidLaunchTemplate|InvalidBlockDeviceMapping|InvalidSnapshot|BadParameters"
        r"|bad parameters|MissingParameter",
    ),
    Cause(
        "no_luck_yet",
        "capacity",
        "AWS has failed several times to start any machine, and tries again",
        "Name more machine types and subnets of more zones.",
        r"allLaunchSpecsTemporarilyBlacklisted|launchSpecTemporarilyBlacklisted",
    ),
)

CONTAINER: Sequence[Cause] = (
    Cause(
        "image_platform",
        "configuration",
        "the worker's image is made for another processor than the machines have",
        "Build the image for it (docker buildx build --platform), or set architecture and "
        "machine_type to the image's.",
        r"exec format error|matching platform|no matching manifest",
    ),
    Cause(
        "image_rate",
        "notice",
        "the registry limits how often the worker's image may be fetched",
        "Put the image into Amazon ECR, or fetch it with an account of the registry.",
        r"toomanyrequests|rate limit|429 Too Many",
    ),
    Cause(
        "disk_full",
        "configuration",
        "the worker's image does not fit on the machine's disk",
        "Raise ebs_vol_size.",
        r"no space left on device",
    ),
    Cause(
        "image_route",
        "configuration",
        "the machines cannot reach the registry of the worker's image",
        "Give them a way out: assign_ip with an internet gateway, a NAT gateway, or VPC endpoints; "
        "look at the security group's outbound rules.",
        r"(CannotPull|pull|manifest|registry).*(i/o timeout|Client\.Timeout|request canceled"
        r"|no such host|connection refused|connection reset|deadline exceeded|TLS handshake"
        r"|dial tcp|unreachable)",
        times=2,
    ),
    Cause(
        "image_missing",
        "configuration",
        "the worker's image is not in the registry, or may not be read",
        "Look at dockerhub_tag: registry, name and tag, and whether it is public or the machines' "
        "role may read it.",
        r"CannotPull.*(not found|manifest unknown|does not exist|pull access denied"
        r"|invalid reference|requested access to the resource is denied)",
    ),
    Cause(
        "image_rights",
        "configuration",
        "the worker's image may not be read",
        "Give the machines' role, or execution_role, the rights of "
        "AmazonEC2ContainerRegistryReadOnly; ECS does not know the password of another registry.",
        r"CannotPull.*(not authorized|no basic auth|403 Forbidden|unauthorized|AccessDenied"
        r"|authorization failed|denied)",
    ),
    Cause(
        "image_pull",
        "configuration",
        "the worker's image cannot be fetched",
        "Look at dockerhub_tag and at the machines' way to its registry.",
        r"CannotPull|failed to pull|pull image",
        times=3,
    ),
    Cause(
        "log_group",
        "configuration",
        "the container's log cannot be opened",
        "Run dcp-setup, which makes the log group; the machines' role needs logs:CreateLogStream "
        "and logs:PutLogEvents.",
        r"log group does not exist|logging driver|logger args|logs:CreateLogStream",
    ),
    Cause(
        "task_role",
        "configuration",
        "ECS may not take the role of the containers",
        "Look at task_role and execution_role: they must trust ecs-tasks.amazonaws.com, and "
        "whoever runs the flows needs iam:PassRole.",
        r"unable to assume the( service linked)? role|AssumeRole|pass.{0,6}role",
    ),
    Cause(
        "mount",
        "configuration",
        "the machine has no /dev/fuse for mounting buckets",
        "Set download_files: true, or take a machine image with FUSE.",
        r"/dev/fuse|error gathering device",
    ),
    Cause(
        "out_of_memory",
        "configuration",
        "containers are ended since their memory is not enough",
        "Raise memory, or lower docker_cores.",
        r"OutOfMemory|memory usage|oom.?kill",
        times=3,
    ),
    Cause(
        "container_start",
        "configuration",
        "containers cannot be started",
        "Look at the image and the task definition; its words are Docker's.",
        r"CannotCreate|CannotStart|ResourceInitialization|DockerTimeout|CannotInspect"
        r"|TaskFailedToStart",
        times=3,
    ),
    Cause(
        "container_exit",
        "configuration",
        "containers end as soon as they start",
        "Look at the log of the machines (log group _perInstance): the image must be dcp's worker, "
        "and for the machines' processor.",
        r"Essential container.*exited|EssentialContainerExited",
        times=3,
    ),
)

SERVICE: Sequence[Cause] = (
    *(cause for cause in CONTAINER if cause.code == "task_role"),
    Cause(
        "container_size",
        "configuration",
        "the container does not fit on the machine",
        "Lower memory or cpu_shares (docker_cores), or take larger machines.",
        r"has insufficient (memory|CPU)|RESOURCE:(MEMORY|CPU)",
    ),
    Cause(
        "agent",
        "notice",
        "a machine's ECS agent does not answer",
        "If it stays so, the machine has lost its way out or hangs; its alarm ends it.",
        r'encountered error "AGENT"',
    ),
    Cause(
        "task_quota",
        "capacity",
        "the account's quota of containers or vCPUs is used up",
        "Ask for more in Service Quotas, under Amazon ECS.",
        r"reached the limit on the number of",
    ),
    Cause(
        "restarts",
        "notice",
        "containers end again and again; ECS starts them less often",
        "Look at the log of the machines (log group _perInstance).",
        r"unable to consistently start",
    ),
)

NEVER_REGISTERS = Cause(
    "never_registers",
    "configuration",
    "machines are up and do not join the cluster",
    "They need a way out to ECS (assign_ip with an internet gateway, a NAT gateway, or VPC "
    "endpoints for ecs, ecs-agent and ecs-telemetry), an instance profile with "
    "AmazonEC2ContainerServiceforEC2Role, and a machine image for ECS.",
    "",
)

ALL: Sequence[Cause] = tuple(
    dict.fromkeys((*FLEET, NEVER_REGISTERS, *CONTAINER, *SERVICE, UNKNOWN))
)

# What ECS's service scheduler says of its usual work.
USUAL = re.compile(
    r"has started|has stopped|steady state|registered|has begun draining|deployment .*completed"
    r"|No Container Instances were found|stopped \d+ pending tasks|AZ balanced",
    re.IGNORECASE,
)
# Ends of tasks that are no failure (Amazon ECS Developer Guide, "Stopped task error codes").
USUAL_STOPS = frozenset(
    {"UserInitiated", "ServiceSchedulerInitiated", "SpotInterruption", "TerminationNotice"}
)
USUAL_REASONS = re.compile(
    r"Host EC2 .*(terminated|stopped)|Scaling activity|Task stopped by|interrupted", re.IGNORECASE
)
# Ends of machines that are no failure (EC2 API Reference, StateReason).
USUAL_ENDS = (
    "Client.UserInitiatedShutdown",
    "Client.InstanceInitiatedShutdown",
    "Client.UserInitiatedHibernate",
    "Server.SpotInstance",
    "Server.ScheduledStop",
)
