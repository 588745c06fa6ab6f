"""The least-privilege policies of dcp's roles. Data.

Tests compare each with the calls that the code makes, in both directions; docs/account.md shows
them (`tasks.docs_pages.account_page`). Actions that terminate machines, delete fleets or stop
services apply only to resources with the tag `dcp:app` (IAM User Guide, "Controlling access to AWS
resources using tags"; condition keys of the actions: Service Authorization Reference).
"""

from collections.abc import Iterator

from blocks.resource_names import Names
from tasks.account.policy_statements import Condition, Statement
from tasks.permissions.flow_permissions import PERMISSIONS

ANY = ("*",)
APP_TAGGED: Condition = {"Null": {f"aws:ResourceTag/{Names.app_tag}": ("false",)}}
QUEUES = ("arn:{partition}:sqs:{region}:{account}:{apps}",)
SERVICES = ("arn:{partition}:ecs:{region}:{account}:service/*/{apps}",)
TASKS = ("arn:{partition}:ecs:{region}:{account}:task/*",)
INSTANCES = ("arn:{partition}:ec2:{region}:{account}:instance/*",)
VOLUMES = ("arn:{partition}:ec2:{region}:{account}:volume/*",)
FLEETS = ("arn:{partition}:ec2:{region}:{account}:fleet/*",)
SPOT_FLEETS = ("arn:{partition}:ec2:{region}:{account}:spot-fleet-request/*",)
LOG_GROUPS = ("arn:{partition}:logs:{region}:{account}:log-group:{apps}:*",)
ALARMS = ("arn:{partition}:cloudwatch:{region}:{account}:alarm:{apps}_i-*",)
RECORDS = ("arn:{partition}:s3:::{bucket}/dcp/*",)
SAFETY_NET_FUNCTION = "arn:{partition}:lambda:{region}:{account}:function:{safety_net}"
SAFETY_NET_LOGS = ("arn:{partition}:logs:{region}:{account}:log-group:/aws/lambda/{safety_net}:*",)

WORKER: tuple[Statement, ...] = (
    Statement(
        ("s3:ListBucket",),
        (
            "arn:{partition}:s3:::{inputs}",
            "arn:{partition}:s3:::{outputs}",
            "arn:{partition}:s3:::{bucket}",
        ),
        "listing of existing objects; without it S3 answers 403 instead of 404 for missing ones",
    ),
    Statement(("s3:GetObject",), ("arn:{partition}:s3:::{inputs}/*",), "images, pipelines, CSVs"),
    Statement(
        (
            "s3:GetObject",
            "s3:PutObject",
            "s3:PutObjectAcl",
            "s3:PutObjectTagging",
            "s3:AbortMultipartUpload",
        ),
        ("arn:{partition}:s3:::{outputs}/*",),
        "outputs, confirmed after the upload; `acl` and `tagging` of `upload`",
    ),
    Statement(("s3:GetObject", "s3:PutObject"), RECORDS, "records and results of the runs"),
    Statement(
        (
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:SendMessage",
            "sqs:GetQueueAttributes",
        ),
        QUEUES,
        "jobs, and jobs for the dead-letter queue",
    ),
    Statement(("logs:CreateLogStream", "logs:PutLogEvents"), LOG_GROUPS, "logs of jobs"),
    Statement(
        ("ecs:UpdateTaskProtection",),
        TASKS,
        "protects a busy container from scale-in",
        APP_TAGGED,
    ),
    Statement(
        ("ec2:DescribeVolumes", "ec2:DescribeTags"), ANY, "the machine's volumes and its fleet"
    ),
    Statement(
        ("ec2:CreateTags",),
        INSTANCES + VOLUMES,
        "the machine's name, and no other tag",
        {"ForAllValues:StringEquals": {"aws:TagKeys": ("Name",)}},
    ),
    Statement(
        ("cloudwatch:PutMetricAlarm", "cloudwatch:TagResource"), ALARMS, "the machine's idle alarm"
    ),
    Statement(
        ("ecs:UpdateService",),
        SERVICES,
        "machines terminate themselves when the queue is empty",
        APP_TAGGED,
    ),
    Statement(
        ("ec2:ModifyFleet", "ec2:ModifySpotFleetRequest", "ec2:TerminateInstances"),
        FLEETS + SPOT_FLEETS + INSTANCES,
        "the same, and replacing an unhealthy machine",
        APP_TAGGED,
    ),
)

SAFETY_NET: tuple[Statement, ...] = (
    Statement(
        (
            "ec2:DescribeInstances",
            "ec2:DescribeFleets",
            "ec2:DescribeSpotFleetRequests",
            "cloudwatch:DescribeAlarms",
        ),
        ANY,
        "machines, fleets and alarms of each run",
    ),
    Statement(
        ("sqs:GetQueueUrl", "sqs:GetQueueAttributes"), QUEUES, "whether jobs are in the queue"
    ),
    Statement(("s3:ListBucket",), ("arn:{partition}:s3:::{bucket}",), "detects a missing record"),
    Statement(("s3:GetObject",), RECORDS, "the run's settings and heartbeat"),
    Statement(
        ("s3:PutObject",),
        ("arn:{partition}:s3:::{bucket}/dcp/*/safety_net.json",),
        "since when its queue is empty",
    ),
    Statement(
        ("ec2:DeleteFleets", "ec2:CancelSpotFleetRequests", "ec2:TerminateInstances"),
        FLEETS + SPOT_FLEETS + INSTANCES,
        "terminates machines",
        APP_TAGGED,
    ),
    Statement(("ecs:UpdateService",), SERVICES, "stops containers from starting", APP_TAGGED),
    Statement(("cloudwatch:DeleteAlarms",), ALARMS, "alarms of terminated machines"),
    Statement(("logs:CreateLogStream", "logs:PutLogEvents"), SAFETY_NET_LOGS, "its log"),
)

SCHEDULE: tuple[Statement, ...] = (
    Statement(
        ("lambda:InvokeFunction",),
        (SAFETY_NET_FUNCTION,),
        "EventBridge Scheduler calls the safety net",
    ),
)

EXECUTION: tuple[Statement, ...] = (
    Statement(
        ("secretsmanager:GetSecretValue",),
        ("{secret}",),
        "ECS passes Prefect's API key to flows that run in AWS",
    ),
)

PASSED_TO = ("ec2.amazonaws.com", "ecs-tasks.amazonaws.com", "spotfleet.amazonaws.com")
# Actions of the flows that apply only to resources with the tag of an app.
ONLY_TAGGED = frozenset(
    {
        "ec2:CancelSpotFleetRequests",
        "ec2:DeleteFleets",
        "ec2:DeleteLaunchTemplate",
        "ec2:DeleteVolume",
        "ec2:ModifyFleet",
        "ec2:ModifySpotFleetRequest",
        "ec2:TerminateInstances",
    }
)
# Placeholder values for `tasks.permissions.flow_permissions`, for all runs of an account.
FLOW_PLACEHOLDERS = {
    "queue": "{apps}",
    "dead_letter_queue": "{apps}",
    "cluster": "*",
    "service": "{apps}",
    "task_family": "{apps}",
    "log_group": "{apps}",
    "instance_log_group": "{apps}",
    "dashboard": "{apps}",
    "alarm_prefix": "{apps}",
    "image_parameter": "/aws/service/ecs/optimized-ami/*",
    "aws_bucket": "{bucket}",
    "record_prefix": "dcp/",
    "images_bucket": "{inputs}",
    "workspace": "{inputs}",
    "outputs_bucket": "{outputs}",
    "app": "{apps}",
    "roles": "arn:{partition}:iam::{account}:role/{roles}",
    "partition": "{partition}",
    "region": "{region}",
    "account": "{account}",
}


def flows() -> tuple[Statement, ...]:
    """`tasks.permissions.flow_permissions` as a policy: for running the flows, for all runs.

    Actions on the same resources share a statement, because a managed policy has at most 6,144
    characters (IAM User Guide, "IAM and AWS STS quotas").
    """
    by_action: dict[tuple[str, str], dict[str, None]] = {}
    for action, condition, resource in _single_permissions():
        by_action.setdefault((action, condition), {})[resource] = None
    by_resources: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (action, condition), resources in by_action.items():
        arns = ANY if "*" in resources else tuple(sorted(resources))
        by_resources.setdefault((condition, arns), []).append(action)
    return tuple(
        Statement(tuple(sorted(actions)), resources, "", CONDITIONS[condition])
        for (condition, resources), actions in by_resources.items()
    )


CONDITIONS: dict[str, Condition] = {
    "": {},
    "tagged": APP_TAGGED,
    "passed": {"StringEquals": {"iam:PassedToService": PASSED_TO}},
}


def _single_permissions() -> Iterator[tuple[str, str, str]]:
    for permission in PERMISSIONS:
        resource = permission.resource.format(**FLOW_PLACEHOLDERS)
        for action in permission.actions:
            if action in ONLY_TAGGED:
                yield action, "tagged", resource
            elif action == "iam:PassRole":
                yield action, "passed", resource
            else:
                yield action, "", resource


def trust(service: str, source: str = "") -> tuple[Statement, ...]:
    """A trust policy: the service may assume the role, but only on behalf of this account.

    IAM User Guide, "The confused deputy problem"; Amazon ECS Developer Guide, "Amazon ECS task IAM
    role"; EventBridge Scheduler User Guide, "Confused deputy prevention".

    Args:
        service: The service principal.
        source: ARN pattern of the resource that it acts for; empty if the service names none.
    """
    condition: dict[str, dict[str, tuple[str, ...]]] = {}
    if source:
        condition["StringEquals"] = {"aws:SourceAccount": ("{account}",)}
        condition["ArnLike"] = {"aws:SourceArn": (source,)}
    principal = {"Service": (service,)}
    return (Statement(("sts:AssumeRole",), (), "", condition, principal),)


TRUST_CONTAINERS = trust("ecs-tasks.amazonaws.com", "arn:{partition}:ecs:{region}:{account}:*")
TRUST_MACHINES = trust("ec2.amazonaws.com")
TRUST_SPOT_FLEET = trust("spotfleet.amazonaws.com")
TRUST_LAMBDA = trust("lambda.amazonaws.com")
TRUST_SCHEDULER = trust(
    "scheduler.amazonaws.com",
    "arn:{partition}:scheduler:{region}:{account}:schedule-group/{safety_net}",
)
