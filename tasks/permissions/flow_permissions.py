"""The IAM permissions that running the flows needs: actions, resource and step. Data.

docs/aws.md shows this table (`tasks.docs_pages.aws_page`). A test compares it with the calls that
the modules of tasks/ make.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from blocks import FleetTemplate, RunConfig

Condition = Callable[[RunConfig, FleetTemplate], bool]


@dataclass(frozen=True)
class Right:
    """Actions on a resource that a step needs.

    Attributes:
        step: The first step that needs them.
        actions: IAM actions.
        resource: ARN with the names of `places` in braces.
        when: Whether a run with these settings needs them; None: every run.
        only: `when` in words, for the page.
        needed: Whether the run needs them; without an optional one it continues with a warning.
        unproven: Why no simulation or dry run tests them.
    """

    step: str
    actions: tuple[str, ...]
    resource: str
    when: Condition | None = None
    only: str = ""
    needed: bool = True
    unproven: str = ""


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


def _no_dashboard_left(config: RunConfig, _: FleetTemplate) -> bool:
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
ASKED = "preflight makes the call itself"

RIGHTS: tuple[Right, ...] = (
    Right("preflight", ("sts:GetCallerIdentity",), ANY, unproven="cannot be denied"),
    Right("preflight", ("s3:GetObject",), WORKSPACE),
    Right("preflight", ("s3:ListBucket",), WORKSPACE_BUCKET),
    Right("preflight", ("s3:ListBucket",), IMAGES_BUCKET, _signed, "not no_sign_request"),
    Right("preflight", ("s3:ListBucket",), OUTPUTS_BUCKET, needed=False),
    Right("preflight", ("s3:GetBucketLocation",), RECORD_BUCKET, needed=False, unproven=ASKED),
    Right(
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
        unproven=ASKED,
    ),
    Right(
        "preflight",
        (
            "iam:GetInstanceProfile",
            "iam:GetRole",
            "iam:SimulatePrincipalPolicy",
        ),
        ANY,
        needed=False,
        unproven=ASKED,
    ),
    Right("preflight", ("s3:GetObject",), ALL_RECORDS, needed=False, unproven=ASKED),
    Right("set-up", ("s3:PutObject", "s3:GetObject", "s3:DeleteObject"), RECORDS),
    # Parts of a failed multipart upload would stay and cost money.
    Right("set-up", ("s3:AbortMultipartUpload",), RECORDS, needed=False),
    Right("set-up", ("s3:ListBucket",), RECORD_BUCKET),
    Right(
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
    Right("set-up", ("sqs:CreateQueue", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"), DEAD_LETTERS),
    Right("set-up", ("ecs:CreateCluster", "ecs:DescribeClusters", "ecs:TagResource"), CLUSTER),
    Right("set-up", ("ecs:RegisterTaskDefinition", "ecs:TagResource"), TASK_DEFINITION),
    Right("set-up", ("ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition"), ANY),
    Right("set-up", ("ecs:CreateService", "ecs:DescribeServices", "ecs:TagResource"), SERVICE),
    Right(
        "set-up", ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"), LOG_GROUP
    ),
    Right(
        "set-up",
        ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"),
        INSTANCE_LOG_GROUP,
    ),
    Right("submission", ("sqs:SendMessage",), QUEUE),
    Right("fleet", ("ecs:UpdateService",), SERVICE),
    Right("fleet", ("ssm:GetParameter",), IMAGE_PARAMETER, _newest_image, "newest image"),
    Right(
        "fleet",
        ("ec2:DescribeLaunchTemplates", "ec2:DescribeFleets", "ec2:DescribeSpotFleetRequests"),
        ANY,
    ),
    Right("fleet", ("ec2:DescribeLaunchTemplateVersions",), ANY, _from_template, "fleet template"),
    Right(
        "fleet",
        ("ec2:CreateLaunchTemplate", "ec2:CreateLaunchTemplateVersion"),
        LAUNCH_TEMPLATE,
        _from_template,
        "fleet template",
    ),
    Right("fleet", ("ec2:CreateFleet",), FLEET, _from_template, "fleet template"),
    Right(
        "fleet",
        ("ec2:RunInstances", "ec2:CreateTags"),
        ANY,
        _from_template,
        "fleet template",
        unproven=DRY_RUN,
    ),
    Right(
        "fleet",
        ("ec2:DescribeFleetInstances", "ec2:DescribeFleetHistory"),
        ANY,
        _from_template,
        "fleet template",
    ),
    Right("fleet", ("ec2:RequestSpotFleet",), ANY, _from_fleet_file, "fleet file"),
    Right("fleet", ("ec2:CreateTags",), SPOT_FLEET, _from_fleet_file, "fleet file"),
    Right(
        "fleet",
        ("ec2:DescribeSpotFleetInstances", "ec2:DescribeSpotFleetRequestHistory"),
        ANY,
        _from_fleet_file,
        "fleet file",
    ),
    Right("fleet", ("iam:PassRole",), "{roles}"),
    Right("fleet", ("cloudwatch:PutDashboard",), DASHBOARD, _dashboard, "create_dashboard"),
    Right("monitoring", ("ec2:ModifyFleet",), FLEET, _from_template, "fleet template"),
    Right(
        "monitoring", ("ec2:ModifySpotFleetRequest",), SPOT_FLEET, _from_fleet_file, "fleet file"
    ),
    Right("monitoring", ("ec2:DescribeInstances",), ANY),
    Right("monitoring", ("ec2:TerminateInstances",), INSTANCE),
    Right("monitoring", ("ecs:ListContainerInstances",), CLUSTER),
    Right("monitoring", ("ecs:DescribeContainerInstances",), CONTAINER_INSTANCE),
    Right("monitoring", ("ecs:ListTasks", "ecs:DescribeTasks"), ANY),
    Right("monitoring", ("sqs:ReceiveMessage", "sqs:ChangeMessageVisibility"), DEAD_LETTERS),
    Right("monitoring", ("cloudwatch:DeleteAlarms",), ALARM),
    Right(
        "monitoring",
        ("cloudwatch:PutMetricData",),
        ANY,
        _dashboard,
        "create_dashboard",
        needed=False,
    ),
    Right("clean-up", ("ec2:DeleteFleets",), FLEET, _from_template, "fleet template"),
    Right("clean-up", ("ec2:CancelSpotFleetRequests",), SPOT_FLEET, _from_fleet_file, "fleet file"),
    Right(
        "clean-up", ("ec2:DeleteLaunchTemplate",), LAUNCH_TEMPLATE, _from_template, "fleet template"
    ),
    Right("clean-up", ("ec2:DescribeVolumes",), ANY),
    Right("clean-up", ("ec2:DeleteVolume",), VOLUME),
    Right("clean-up", ("sqs:DeleteQueue",), QUEUE),
    Right("clean-up", ("ecs:DeleteService",), SERVICE),
    Right("clean-up", ("ecs:DeregisterTaskDefinition",), ANY),
    Right("clean-up", ("ecs:DeleteCluster", "ecs:DeregisterContainerInstance"), CLUSTER),
    Right("clean-up", ("cloudwatch:DescribeAlarms",), ANY),
    Right("clean-up", ("cloudwatch:ListDashboards",), ANY, _no_dashboard_left, "clean_dashboard"),
    Right(
        "clean-up",
        ("cloudwatch:DeleteDashboards",),
        DASHBOARD,
        _no_dashboard_left,
        "clean_dashboard",
    ),
    Right("clean-up", ("logs:CreateExportTask",), LOG_GROUP, needed=False),
    Right("clean-up", ("logs:CreateExportTask",), INSTANCE_LOG_GROUP, needed=False),
    # The caller of an export must be allowed to write to its destination (CloudWatch Logs API
    # Reference, CreateExportTask).
    Right("clean-up", ("s3:PutObject",), EXPORTED, needed=False),
    Right("clean-up", ("logs:DescribeExportTasks",), ANY, needed=False),
    Right("status", ("tag:GetResources",), ANY, needed=False, only="dcp-status and dcp-reaper"),
    Right("failures", ("s3:ListAllMyBuckets",), ANY, needed=False, only="without a bucket option"),
)


def rights_of(config: RunConfig, template: FleetTemplate) -> Iterator[Right]:
    """The permissions that a run with these settings needs."""
    for right in RIGHTS:
        if right.when is None or right.when(config, template):
            yield right


def places(
    config: RunConfig, template: FleetTemplate, partition: str, account: str
) -> dict[str, str]:
    """The values of the names in braces in a resource, for one run."""
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
