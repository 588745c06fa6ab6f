"""The IAM permissions that running the flows needs: actions, resource and step. Data.

docs/aws.md shows this table (`tasks.docs_pages.aws_page`). A test compares it with the calls that
the modules of tasks/ make.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from blocks import FleetTemplate, RunConfig

Condition = Callable[[RunConfig, FleetTemplate], bool]


@dataclass(frozen=True)
class Permission:
    """Actions on a resource that a step needs.

    Attributes:
        step: The first step that needs them.
        actions: IAM actions.
        resource: ARN with placeholders, in braces.
        when: Whether a run with these settings needs them; None: every run.
        only: `when` in words, for the page.
        needed: Whether the run needs them; without an optional one it continues with a warning.
        not_simulated: Why preflight does not simulate them; empty: it does.
    """

    step: str
    actions: tuple[str, ...]
    resource: str
    when: Condition | None = None
    only: str = ""
    needed: bool = True
    not_simulated: str = ""


def _from_template(_: RunConfig, template: FleetTemplate) -> bool:
    return template.spot_fleet_request is None


def _from_fleet_file(_: RunConfig, template: FleetTemplate) -> bool:
    return template.spot_fleet_request is not None


def _newest_image(_: RunConfig, template: FleetTemplate) -> bool:
    return template.spot_fleet_request is None and template.image_id is None


def _signed(config: RunConfig, _: FleetTemplate) -> bool:
    return not config.no_sign_request


def _dashboard(config: RunConfig, _: FleetTemplate) -> bool:
    return config.create_dashboard


def _deletes_dashboard(config: RunConfig, _: FleetTemplate) -> bool:
    return config.clean_dashboard


ANY = "*"
QUEUE = "arn:{partition}:sqs:{region}:{account}:{queue}"
DEAD_LETTERS = "arn:{partition}:sqs:{region}:{account}:{dead_letter_queue}"
CLUSTER = "arn:{partition}:ecs:{region}:{account}:cluster/{cluster}"
SERVICE = "arn:{partition}:ecs:{region}:{account}:service/{cluster}/{service}"
TASK_DEFINITION = "arn:{partition}:ecs:{region}:{account}:task-definition/{task_family}:*"
CONTAINER_INSTANCE = "arn:{partition}:ecs:{region}:{account}:container-instance/{cluster}/*"
VOLUME = "arn:{partition}:ec2:{region}:{account}:volume/*"
INSTANCE = "arn:{partition}:ec2:{region}:{account}:instance/*"
FLEET = "arn:{partition}:ec2:{region}:{account}:fleet/*"
SPOT_FLEET = "arn:{partition}:ec2:{region}:{account}:spot-fleet-request/*"
LAUNCH_TEMPLATE = "arn:{partition}:ec2:{region}:{account}:launch-template/*"
LOG_GROUP = "arn:{partition}:logs:{region}:{account}:log-group:{log_group}:*"
INSTANCE_LOG_GROUP = "arn:{partition}:logs:{region}:{account}:log-group:{instance_log_group}:*"
DASHBOARD = "arn:{partition}:cloudwatch::{account}:dashboard/{dashboard}"
ALARM = "arn:{partition}:cloudwatch:{region}:{account}:alarm:{alarm_prefix}*"
IMAGE_PARAMETER = "arn:{partition}:ssm:{region}::parameter{image_parameter}"
RECORDS = "arn:{partition}:s3:::{aws_bucket}/{record_prefix}*"
ALL_RECORDS = "arn:{partition}:s3:::{aws_bucket}/dcp/*"
EXPORTED = "arn:{partition}:s3:::{aws_bucket}/exportedlogs/*"
RECORD_BUCKET = "arn:{partition}:s3:::{aws_bucket}"
IMAGES_BUCKET = "arn:{partition}:s3:::{images_bucket}"
WORKSPACE = "arn:{partition}:s3:::{workspace}/*"
WORKSPACE_BUCKET = "arn:{partition}:s3:::{workspace}"
OUTPUTS_BUCKET = "arn:{partition}:s3:::{outputs_bucket}"
DRY_RUN = "an EC2 dry run tests it"
CALLED = "preflight makes the call itself"

PERMISSIONS: tuple[Permission, ...] = (
    Permission("preflight", ("sts:GetCallerIdentity",), ANY, not_simulated="cannot be denied"),
    Permission("preflight", ("s3:GetObject",), WORKSPACE),
    Permission("preflight", ("s3:ListBucket",), WORKSPACE_BUCKET),
    Permission("preflight", ("s3:ListBucket",), IMAGES_BUCKET, _signed, "not no_sign_request"),
    Permission("preflight", ("s3:ListBucket",), OUTPUTS_BUCKET, needed=False),
    Permission(
        "preflight", ("s3:GetBucketLocation",), RECORD_BUCKET, needed=False, not_simulated=CALLED
    ),
    Permission(
        "preflight",
        (
            "ec2:DescribeImages",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeInstanceTypeOfferings",
            "ec2:DescribeSpotPriceHistory",
            "pricing:GetProducts",
            "servicequotas:GetServiceQuota",
        ),
        ANY,
        needed=False,
        not_simulated=CALLED,
    ),
    Permission(
        "preflight",
        (
            "iam:GetInstanceProfile",
            "iam:GetRole",
            "iam:SimulatePrincipalPolicy",
        ),
        ANY,
        needed=False,
        not_simulated=CALLED,
    ),
    Permission("preflight", ("s3:GetObject",), ALL_RECORDS, needed=False, not_simulated=CALLED),
    Permission("set-up", ("s3:PutObject", "s3:GetObject", "s3:DeleteObject"), RECORDS),
    # Parts of a failed multipart upload would stay and cost money.
    Permission("set-up", ("s3:AbortMultipartUpload",), RECORDS, needed=False),
    Permission("set-up", ("s3:ListBucket",), RECORD_BUCKET),
    Permission(
        "set-up",
        (
            "sqs:CreateQueue",
            "sqs:TagQueue",
            "sqs:GetQueueUrl",
            "sqs:GetQueueAttributes",
            "sqs:SetQueueAttributes",
        ),
        QUEUE,
    ),
    Permission(
        "set-up", ("sqs:CreateQueue", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"), DEAD_LETTERS
    ),
    Permission("set-up", ("ecs:CreateCluster", "ecs:DescribeClusters", "ecs:TagResource"), CLUSTER),
    Permission("set-up", ("ecs:RegisterTaskDefinition", "ecs:TagResource"), TASK_DEFINITION),
    Permission("set-up", ("ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition"), ANY),
    Permission("set-up", ("ecs:CreateService", "ecs:DescribeServices", "ecs:TagResource"), SERVICE),
    Permission(
        "set-up", ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"), LOG_GROUP
    ),
    Permission(
        "set-up",
        ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"),
        INSTANCE_LOG_GROUP,
    ),
    Permission("submission", ("sqs:SendMessage",), QUEUE),
    Permission("fleet", ("ecs:UpdateService",), SERVICE),
    Permission("fleet", ("ssm:GetParameter",), IMAGE_PARAMETER, _newest_image, "newest image"),
    Permission(
        "fleet",
        ("ec2:DescribeLaunchTemplates", "ec2:DescribeFleets", "ec2:DescribeSpotFleetRequests"),
        ANY,
    ),
    Permission(
        "fleet", ("ec2:DescribeLaunchTemplateVersions",), ANY, _from_template, "fleet template"
    ),
    Permission(
        "fleet",
        ("ec2:CreateLaunchTemplate", "ec2:CreateLaunchTemplateVersion"),
        LAUNCH_TEMPLATE,
        _from_template,
        "fleet template",
    ),
    Permission("fleet", ("ec2:CreateFleet",), FLEET, _from_template, "fleet template"),
    Permission(
        "fleet",
        ("ec2:RunInstances", "ec2:CreateTags"),
        ANY,
        _from_template,
        "fleet template",
        not_simulated=DRY_RUN,
    ),
    Permission(
        "fleet",
        ("ec2:DescribeFleetInstances", "ec2:DescribeFleetHistory"),
        ANY,
        _from_template,
        "fleet template",
    ),
    Permission("fleet", ("ec2:RequestSpotFleet",), ANY, _from_fleet_file, "fleet file"),
    Permission("fleet", ("ec2:CreateTags",), SPOT_FLEET, _from_fleet_file, "fleet file"),
    Permission(
        "fleet",
        ("ec2:DescribeSpotFleetInstances", "ec2:DescribeSpotFleetRequestHistory"),
        ANY,
        _from_fleet_file,
        "fleet file",
    ),
    Permission("fleet", ("iam:PassRole",), "{roles}"),
    Permission("fleet", ("cloudwatch:PutDashboard",), DASHBOARD, _dashboard, "create_dashboard"),
    Permission("monitoring", ("ec2:ModifyFleet",), FLEET, _from_template, "fleet template"),
    Permission(
        "monitoring", ("ec2:ModifySpotFleetRequest",), SPOT_FLEET, _from_fleet_file, "fleet file"
    ),
    Permission("monitoring", ("ec2:DescribeInstances",), ANY),
    Permission("monitoring", ("ec2:TerminateInstances",), INSTANCE),
    Permission("monitoring", ("ecs:ListContainerInstances",), CLUSTER),
    Permission("monitoring", ("ecs:DescribeContainerInstances",), CONTAINER_INSTANCE),
    Permission("monitoring", ("ecs:ListTasks", "ecs:DescribeTasks"), ANY),
    Permission("monitoring", ("sqs:ReceiveMessage", "sqs:ChangeMessageVisibility"), DEAD_LETTERS),
    Permission("monitoring", ("cloudwatch:DeleteAlarms",), ALARM),
    Permission(
        "monitoring",
        ("cloudwatch:PutMetricData",),
        ANY,
        _dashboard,
        "create_dashboard",
        needed=False,
    ),
    Permission("clean-up", ("ec2:DeleteFleets",), FLEET, _from_template, "fleet template"),
    Permission(
        "clean-up", ("ec2:CancelSpotFleetRequests",), SPOT_FLEET, _from_fleet_file, "fleet file"
    ),
    Permission(
        "clean-up", ("ec2:DeleteLaunchTemplate",), LAUNCH_TEMPLATE, _from_template, "fleet template"
    ),
    Permission("clean-up", ("ec2:DescribeVolumes",), ANY),
    Permission("clean-up", ("ec2:DeleteVolume",), VOLUME),
    Permission("clean-up", ("sqs:DeleteQueue",), QUEUE),
    Permission("clean-up", ("ecs:DeleteService",), SERVICE),
    Permission("clean-up", ("ecs:DeregisterTaskDefinition",), ANY),
    Permission("clean-up", ("ecs:DeleteCluster", "ecs:DeregisterContainerInstance"), CLUSTER),
    Permission("clean-up", ("cloudwatch:DescribeAlarms",), ANY),
    Permission(
        "clean-up", ("cloudwatch:ListDashboards",), ANY, _deletes_dashboard, "clean_dashboard"
    ),
    Permission(
        "clean-up",
        ("cloudwatch:DeleteDashboards",),
        DASHBOARD,
        _deletes_dashboard,
        "clean_dashboard",
    ),
    Permission("clean-up", ("logs:CreateExportTask",), LOG_GROUP, needed=False),
    Permission("clean-up", ("logs:CreateExportTask",), INSTANCE_LOG_GROUP, needed=False),
    # The caller of an export must be allowed to write to its destination (CloudWatch Logs API
    # Reference, CreateExportTask).
    Permission("clean-up", ("s3:PutObject",), EXPORTED, needed=False),
    Permission("clean-up", ("logs:DescribeExportTasks",), ANY, needed=False),
    Permission(
        "status", ("tag:GetResources",), ANY, needed=False, only="dcp-status and dcp-reaper"
    ),
    Permission(
        "failures", ("s3:ListAllMyBuckets",), ANY, needed=False, only="without a bucket option"
    ),
)


def permissions_of(config: RunConfig, template: FleetTemplate) -> Iterator[Permission]:
    """The permissions that a run with these settings needs."""
    for permission in PERMISSIONS:
        if permission.when is None or permission.when(config, template):
            yield permission


def placeholder_values(
    config: RunConfig, template: FleetTemplate, partition: str, account: str
) -> dict[str, str]:
    """The values of a resource's placeholders, for one run."""
    names = config.names
    return {
        "partition": partition,
        "region": config.aws_region,
        "account": account,
        "app": names.app,
        "queue": names.queue,
        "dead_letter_queue": names.dead_letter_queue,
        "cluster": config.ecs_cluster,
        "service": names.service,
        "task_family": names.task_family,
        "log_group": names.log_group,
        "instance_log_group": names.instance_log_group,
        "dashboard": names.dashboard,
        "alarm_prefix": names.alarm_prefix,
        "image_parameter": template.image_parameter,
        "aws_bucket": config.aws_bucket,
        "record_prefix": names.record_prefix,
        "images_bucket": config.images_bucket,
        "workspace": config.workspace,
        "outputs_bucket": config.outputs_bucket,
    }
