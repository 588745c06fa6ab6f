"""Why machines do not launch or containers do not start: AWS's messages, causes, remedies. Data.

The messages are those of "Error codes for the Amazon EC2 API" and EventInformation (Amazon EC2 API
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
"""Waiting does not help; waiting may help; for information."""


@dataclass(frozen=True)
class Cause:
    """A cause of trouble, and how to recognise it in AWS's messages.

    Attributes:
        code: Stable name, independent of the wording.
        level: Level while nothing works; once something works, it is only a notice.
        summary: What is wrong.
        remedy: What to do.
        pattern: Regular expression that matches AWS's message, ignoring case.
        times: Number of occurrences before it is reported.
        depends_on_place: Whether another machine type or subnet may not be affected.
    """

    code: str
    level: Level
    summary: str
    remedy: str
    pattern: str
    times: int = 1
    depends_on_place: bool = False

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE | re.DOTALL)

    def matches(self, text: str) -> bool:
        """Whether a message has this cause."""
        return self._regex.search(text) is not None


UNKNOWN = Cause(
    "unknown",
    "notice",
    "AWS reports an error",
    "Search AWS's documentation for the message.",
    "",
)

FLEET: Sequence[Cause] = (
    Cause(
        "fleet_role",
        "configuration",
        "the fleet's role is not allowed to launch machines",
        "Check IamFleetRole in the fleet file: it needs the policy "
        "AmazonEC2SpotFleetTaggingRole, and trust in spotfleet.amazonaws.com.",
        "iamFleetRoleInvalid|IamFleetRole",
    ),
    Cause(
        "machine_image",
        "configuration",
        "the machine image does not exist, or is not shared with this account",
        "Check image_id in the fleet template (ImageId in a fleet file). An image belongs to one "
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
        "the instance profile does not exist",
        "Check instance_profile in the fleet template, or create it in IAM (docs/aws.md).",
        r"iamInstanceProfile|Invalid IAM Instance Profile|instance profile.*(not exist|not found)",
    ),
    Cause(
        "security_group",
        "configuration",
        "a security group does not exist, or is not in the subnet's VPC",
        "Check security_groups and subnets in the fleet template: all must be in one VPC.",
        r"InvalidGroup|InvalidSecurityGroup|security group.*does not exist|different networks",
    ),
    Cause(
        "subnet_full",
        "capacity",
        "a subnet has no free addresses left",
        "Add subnets to the fleet template, or request fewer, larger machines.",
        r"InsufficientFreeAddressesInSubnet|not enough free addresses",
    ),
    Cause(
        "subnet",
        "configuration",
        "the subnet does not exist",
        "Check subnets in the fleet template; without subnets, the account needs a default VPC.",
        r"InvalidSubnet|subnet.*does not exist|No default (VPC|subnet)|VPCIdNotSpecified"
        r"|Subnet.*cannot be used",
        depends_on_place=True,
    ),
    Cause(
        "key_pair",
        "configuration",
        "the key pair does not exist",
        "Correct or remove key_name in the fleet template.",
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
        "the encrypted volume cannot be created: access to its KMS key is denied",
        "Check the key for EBS encryption (EC2 console, Data protection and security) and its "
        "policy: the service-linked roles AWSServiceRoleForEC2Fleet, AWSServiceRoleForEC2Spot and "
        "AWSServiceRoleForEC2SpotFleet need kms:CreateGrant, Decrypt and GenerateDataKey.",
        r"kms|Client\.InternalError|Client error on launch",
        times=2,
    ),
    Cause(
        "launch_permission",
        "configuration",
        "AWS denies the launch",
        "Check that the identity that runs the flows has ec2:RunInstances, ec2:CreateTags and "
        "iam:PassRole. Check the service-linked roles of EC2 Fleet and Spot, and the "
        "organisation's policies.",
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
        "machine_price is not a valid price",
        "Set machine_price to more than 0.001 USD per hour.",
        r"(invalid|bad).{0,30}price|MaxPrice|price.{0,30}(invalid|must be more)",
    ),
    Cause(
        "quota",
        "capacity",
        "the account's quota is used up",
        "Request an increase in Service Quotas, under Amazon EC2 (spot and on-demand vCPUs) or "
        "EBS (storage), or terminate other machines.",
        r"MaxSpotInstanceCount|Max Spot Instance Count|spotInstanceCountLimit"
        r"|Spot Max Instance Count|VcpuLimitExceeded|vCPU (capacity|limit)|InstanceLimitExceeded"
        r"|VolumeLimitExceeded|Volume limit exceeded|PendingVerification",
    ),
    Cause(
        "unsupported",
        "configuration",
        "a zone does not offer a machine type, or not in this configuration",
        "Name other machine types, or subnets in other zones.",
        r"Unsupported|not supported in your requested|currently not supported",
        depends_on_place=True,
    ),
    Cause(
        "no_capacity",
        "capacity",
        "AWS has no capacity for these machine types at present",
        "Name more machine types and subnets in more zones, or set on_demand_share.",
        r"InsufficientInstanceCapacity|InsufficientCapacity|insufficient.{0,40}capacity"
        r"|no Spot capacity|UnfulfillableCapacity|Unable to fulfill capacity"
        r"|capacity.not.available",
    ),
    Cause(
        "fleet_request",
        "configuration",
        "AWS rejects the fleet request",
        "Check the fleet template and machine_type.",
        r"spotFleetRequestConfigurationInvalid|InvalidParameter|InvalidFleetConfig"
        r"|InvalidLaunchTemplate|InvalidBlockDeviceMapping|InvalidSnapshot|BadParameters"
        r"|bad parameters|MissingParameter",
    ),
    Cause(
        "launches_failing",
        "capacity",
        "AWS failed several times to launch a machine, and keeps trying",
        "Name more machine types and subnets in more zones.",
        r"allLaunchSpecsTemporarilyBlacklisted|launchSpecTemporarilyBlacklisted",
    ),
)

CONTAINER: Sequence[Cause] = (
    Cause(
        "image_platform",
        "configuration",
        "the worker's image is built for a different processor than the machines'",
        "Build the image for their processor (docker buildx build --platform), or set "
        "architecture and machine_type to the image's processor.",
        r"exec format error|matching platform|no matching manifest",
    ),
    Cause(
        "image_rate",
        "notice",
        "the registry limits the rate of image pulls",
        "Push the image to Amazon ECR, or pull it with an account at the registry.",
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
        "Give them outbound access: assign_ip with an internet gateway, a NAT gateway, or VPC "
        "endpoints. Check the security group's outbound rules.",
        r"(CannotPull|pull|manifest|registry).*(i/o timeout|Client\.Timeout|request canceled"
        r"|no such host|connection refused|connection reset|deadline exceeded|TLS handshake"
        r"|dial tcp|unreachable)",
        times=2,
    ),
    Cause(
        "image_missing",
        "configuration",
        "the worker's image is not in the registry, or access is denied",
        "Check registry, name and tag in dockerhub_tag. The image must be public, or readable "
        "with the machines' role.",
        r"CannotPull.*(not found|manifest unknown|does not exist|pull access denied"
        r"|invalid reference|requested access to the resource is denied)",
    ),
    Cause(
        "image_access",
        "configuration",
        "access to the worker's image is denied",
        "Attach AmazonEC2ContainerRegistryReadOnly to the machines' role or to execution_role; "
        "ECS has no credentials for other registries.",
        r"CannotPull.*(not authorized|no basic auth|403 Forbidden|unauthorized|AccessDenied"
        r"|authorization failed|denied)",
    ),
    Cause(
        "image_pull",
        "configuration",
        "the worker's image cannot be pulled",
        "Check dockerhub_tag and the machines' network route to its registry.",
        r"CannotPull|failed to pull|pull image",
        times=3,
    ),
    Cause(
        "log_group",
        "configuration",
        "the container's log cannot be opened",
        "Run dcp-setup, which creates the log group. The machines' role needs "
        "logs:CreateLogStream and logs:PutLogEvents.",
        r"log group does not exist|logging driver|logger args|logs:CreateLogStream",
    ),
    Cause(
        "task_role",
        "configuration",
        "ECS cannot assume the containers' role",
        "Check task_role and execution_role: they must trust ecs-tasks.amazonaws.com. The identity "
        "that runs the flows needs iam:PassRole.",
        r"unable to assume the( service linked)? role|AssumeRole|pass.{0,6}role",
    ),
    Cause(
        "mount",
        "configuration",
        "the machine has no /dev/fuse for mounting buckets",
        "Set download_files: true, or use a machine image with FUSE.",
        r"/dev/fuse|error gathering device",
    ),
    Cause(
        "out_of_memory",
        "configuration",
        "containers run out of memory and are killed",
        "Raise memory, or lower docker_cores.",
        r"OutOfMemory|memory usage|oom.?kill",
        times=3,
    ),
    Cause(
        "container_start",
        "configuration",
        "containers cannot be started",
        "Check the image and the task definition; the message comes from Docker.",
        r"CannotCreate|CannotStart|ResourceInitialization|DockerTimeout|CannotInspect"
        r"|TaskFailedToStart",
        times=3,
    ),
    Cause(
        "container_exit",
        "configuration",
        "containers exit as soon as they start",
        "Check the machines' log (log group _perInstance). The image must be dcp's worker, built "
        "for the machines' processor.",
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
        "Lower memory or cpu_shares (docker_cores), or use larger machines.",
        r"has insufficient (memory|CPU)|RESOURCE:(MEMORY|CPU)",
    ),
    Cause(
        "agent",
        "notice",
        "a machine's ECS agent does not respond",
        "If this persists, the machine hangs or has lost its network; its alarm terminates it.",
        r'encountered error "AGENT"',
    ),
    Cause(
        "task_quota",
        "capacity",
        "the account's quota of containers or vCPUs is used up",
        "Request an increase in Service Quotas, under Amazon ECS.",
        r"reached the limit on the number of",
    ),
    Cause(
        "restarts",
        "notice",
        "containers keep exiting, so ECS starts them less often",
        "Check the machines' log (log group _perInstance).",
        r"unable to consistently start",
    ),
)

NEVER_REGISTERS = Cause(
    "never_registers",
    "configuration",
    "machines are running but do not join the cluster",
    "They need network access to ECS (assign_ip with an internet gateway, a NAT gateway, or VPC "
    "endpoints for ecs, ecs-agent and ecs-telemetry), an instance profile with "
    "AmazonEC2ContainerServiceforEC2Role, and a machine image for ECS.",
    "",
)

ALL: Sequence[Cause] = tuple(
    dict.fromkeys((*FLEET, NEVER_REGISTERS, *CONTAINER, *SERVICE, UNKNOWN))
)

# Messages of ECS's service scheduler in normal operation.
USUAL = re.compile(
    r"has started|has stopped|steady state|registered|has begun draining|deployment .*completed"
    r"|No Container Instances were found|stopped \d+ pending tasks|AZ balanced",
    re.IGNORECASE,
)
# Stop codes of tasks that did not fail (Amazon ECS Developer Guide, "Stopped task error codes").
USUAL_STOPS = frozenset(
    {"UserInitiated", "ServiceSchedulerInitiated", "SpotInterruption", "TerminationNotice"}
)
USUAL_REASONS = re.compile(
    r"Host EC2 .*(terminated|stopped)|Scaling activity|Task stopped by|interrupted", re.IGNORECASE
)
# State reasons of machines that did not fail (EC2 API Reference, StateReason).
USUAL_ENDS = (
    "Client.UserInitiatedShutdown",
    "Client.InstanceInitiatedShutdown",
    "Client.UserInitiatedHibernate",
    "Server.SpotInstance",
    "Server.ScheduledStop",
)
