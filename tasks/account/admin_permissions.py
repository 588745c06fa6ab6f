"""The permissions for running `dcp account`: needed once, by an administrator. Data.

A test compares them with the calls that the modules of tasks/account/ make.
"""

from tasks.account.policy_statements import Statement
from tasks.account.setup_config import FLEET_ROLE, INSTANCE_ROLE

ANY = ("*",)
ROLES = (
    "arn:{partition}:iam::{account}:role/{name}-*-{region}",
    f"arn:{{partition}}:iam::{{account}}:role/{INSTANCE_ROLE}",
    f"arn:{{partition}}:iam::{{account}}:role/{FLEET_ROLE}",
)
PROFILES = (f"arn:{{partition}}:iam::{{account}}:instance-profile/{INSTANCE_ROLE}",)
POLICIES = ("arn:{partition}:iam::{account}:policy/{name}-flows-{region}",)
BUCKET = ("arn:{partition}:s3:::{bucket}",)
FUNCTION = ("arn:{partition}:lambda:{region}:{account}:function:{safety_net}",)
SCHEDULES = (
    "arn:{partition}:scheduler:{region}:{account}:schedule-group/{safety_net}",
    "arn:{partition}:scheduler:{region}:{account}:schedule/{safety_net}/{safety_net}",
)
SAFETY_NET_LOGS = (
    "arn:{partition}:logs:{region}:{account}:log-group:/aws/lambda/{safety_net}",
    "arn:{partition}:logs:{region}:{account}:log-group:/aws/lambda/{safety_net}:*",
)

ADMINISTRATOR: tuple[Statement, ...] = (
    Statement(("sts:GetCallerIdentity",), ANY, "id of the account"),
    Statement(
        (
            "iam:GetRole",
            "iam:GetRolePolicy",
            "iam:ListAttachedRolePolicies",
            "iam:ListRolePolicies",
        ),
        ROLES,
        "state of the roles",
    ),
    Statement(
        (
            "iam:CreateRole",
            "iam:TagRole",
            "iam:UpdateAssumeRolePolicy",
            "iam:PutRolePolicy",
            "iam:AttachRolePolicy",
            "iam:DetachRolePolicy",
            "iam:DeleteRolePolicy",
            "iam:DeleteRole",
        ),
        ROLES,
        "the roles",
    ),
    Statement(
        (
            "iam:GetInstanceProfile",
            "iam:CreateInstanceProfile",
            "iam:TagInstanceProfile",
            "iam:AddRoleToInstanceProfile",
            "iam:RemoveRoleFromInstanceProfile",
            "iam:DeleteInstanceProfile",
        ),
        PROFILES,
        "the instance profile",
    ),
    Statement(
        ("iam:PassRole",),
        ROLES[:2],
        "passes roles to machines, the function and its schedule",
        {
            "StringEquals": {
                "iam:PassedToService": (
                    "ec2.amazonaws.com",
                    "lambda.amazonaws.com",
                    "scheduler.amazonaws.com",
                )
            }
        },
    ),
    Statement(("iam:ListRoles",), ANY, "existing service-linked roles; other set-ups"),
    Statement(
        ("iam:GetRole",),
        ("arn:{partition}:iam::{account}:role/*-task-*",),
        "other set-ups, which may use shared resources",
    ),
    Statement(
        ("iam:CreateServiceLinkedRole",),
        ("arn:{partition}:iam::{account}:role/aws-service-role/*",),
        "missing service-linked roles of AWS",
        {
            "StringEquals": {
                "iam:AWSServiceName": (
                    "ecs.amazonaws.com",
                    "spot.amazonaws.com",
                    "ec2fleet.amazonaws.com",
                    "spotfleet.amazonaws.com",
                    "events.amazonaws.com",
                )
            }
        },
    ),
    Statement(
        (
            "iam:GetPolicy",
            "iam:GetPolicyVersion",
            "iam:ListPolicyVersions",
            "iam:CreatePolicy",
            "iam:TagPolicy",
            "iam:CreatePolicyVersion",
            "iam:DeletePolicyVersion",
            "iam:DeletePolicy",
        ),
        POLICIES,
        "the policy for running the flows",
    ),
    Statement(
        ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"),
        BUCKET,
        "allows CloudWatch Logs to export into the bucket",
    ),
    Statement(
        (
            "lambda:GetFunction",
            "lambda:CreateFunction",
            "lambda:TagResource",
            "lambda:UpdateFunctionConfiguration",
            "lambda:UpdateFunctionCode",
            "lambda:DeleteFunction",
        ),
        FUNCTION,
        "the safety net",
    ),
    Statement(
        (
            "scheduler:GetScheduleGroup",
            "scheduler:ListTagsForResource",
            "scheduler:CreateScheduleGroup",
            "scheduler:TagResource",
            "scheduler:DeleteScheduleGroup",
            "scheduler:GetSchedule",
            "scheduler:CreateSchedule",
            "scheduler:UpdateSchedule",
            "scheduler:DeleteSchedule",
        ),
        SCHEDULES,
        "the safety net's schedule",
    ),
    Statement(("logs:DescribeLogGroups",), ANY, "whether its log group exists"),
    Statement(
        (
            "logs:ListTagsForResource",
            "logs:CreateLogGroup",
            "logs:TagResource",
            "logs:PutRetentionPolicy",
            "logs:DeleteLogGroup",
        ),
        SAFETY_NET_LOGS,
        "its log group",
    ),
    Statement(
        (
            "ec2:DescribeInstances",
            "ec2:DescribeFleets",
            "ec2:DescribeSpotFleetRequests",
        ),
        ANY,
        "whether dcp still has machines, before removal",
    ),
)
