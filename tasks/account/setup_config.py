"""The options of an account's set-up, and the names of its resources."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from blocks.credentials.identity import Credentials
from blocks.errors import ConfigError, Problem, Refusal
from blocks.fields import AppName, Bucket, TextRule
from blocks.validation_errors import problems_of
from tasks.account.policy_statements import Placeholders
from tasks.account.resource import TAG
from tasks.aws.clients import client_maker
from tasks.aws.errors import AwsError, access_error, error_code

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

INSTANCE_ROLE = "ecsInstanceRole"  # AWS's console and DCP use this name
FLEET_ROLE = "aws-ec2-spot-fleet-tagging-role"  # AWS's console and DCP use this name
NAME = re.compile("[a-z][a-z0-9-]{0,15}")  # keeps role names below IAM's 64 characters
TASK_ROLE = re.compile(r"(?P<name>.+)-task-(?P<region>[a-z]{2}-[a-z-]+-\d+)")
PREFIX = "dcp"  # prefix of the tags that store the options of a set-up
MAX_TAG_VALUE = 256  # characters in a tag's value (IAM User Guide, "Tagging IAM resources")
FLAG_OPTIONS = ("safety_net", "execution_role", "flow_role")
LIST_OPTIONS = ("inputs", "outputs", "apps")


Secret = Annotated[
    str,
    TextRule(
        r"(arn:aws[\w-]*:secretsmanager:[\w-]+:\d{12}:secret:[\w/+=.@-]+)?",
        "is not the ARN of a secret",
        "arn:aws:secretsmanager:<region>:<account>:secret:<name>",
    ),
]


@dataclass(frozen=True)
class AccountAws:
    """The clients for the set-up of an account.

    Attributes:
        lambda_: AWS Lambda.
        scheduler: EventBridge Scheduler.
    """

    iam: "IAMClient"
    sts: "STSClient"
    s3: "S3Client"
    ec2: "EC2Client"
    logs: "CloudWatchLogsClient"
    lambda_: Any
    scheduler: Any

    @classmethod
    def connect(cls, credentials: Credentials, region: str) -> "AccountAws":
        """Create the clients; sends no request yet."""
        make = client_maker(credentials)
        return cls(**{name: make(name.strip("_"), region) for name in cls.__dataclass_fields__})


class AccountOptions(BaseModel):
    """The options of a set-up.

    Attributes:
        bucket: The bucket of records and logs (`aws_bucket`).
        inputs: Source and workspace buckets (default: `bucket`).
        outputs: Destination buckets (default: `bucket`).
        apps: Allowed name prefixes of apps, queues and log groups (default: any).
        safety_net: Whether to create the safety net, which ends runs without a flow.
        execution_role: Whether to create a role that pulls images from ECR or a private registry.
        flow_role: Whether to create a role for flows that run in AWS.
        api_key_secret: ARN of the secret with Prefect's API key, for such flows; empty: none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: Bucket
    inputs: tuple[Bucket, ...] = ()
    outputs: tuple[Bucket, ...] = ()
    apps: tuple[AppName, ...] = ()
    safety_net: bool = True
    execution_role: bool = False
    flow_role: bool = False
    api_key_secret: Secret = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        long = [key for key, value in self.as_tags().items() if len(value) > MAX_TAG_VALUE]
        if long:
            raise Refusal(
                f"do not fit into a tag of {MAX_TAG_VALUE} characters",
                key=long[0].removeprefix(f"{PREFIX}:"),
                remedy="Move some of them to another set-up (--name).",
            )
        return self

    def as_tags(self) -> dict[str, str]:
        """The options as tags of a role, which store them."""
        return {
            f"{PREFIX}:bucket": self.bucket,
            f"{PREFIX}:inputs": " ".join(self.inputs),
            f"{PREFIX}:outputs": " ".join(self.outputs),
            f"{PREFIX}:apps": " ".join(self.apps),
            f"{PREFIX}:secret": self.api_key_secret,
            f"{PREFIX}:parts": " ".join(flag for flag in FLAG_OPTIONS if getattr(self, flag)),
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "AccountOptions":
        """The options stored in a role's tags."""
        lists: dict[str, Any] = {
            key: tags.get(f"{PREFIX}:{key}", "").split() for key in LIST_OPTIONS
        }
        flags = tags.get(f"{PREFIX}:parts", "").split()
        return cls(
            bucket=tags[f"{PREFIX}:bucket"],
            api_key_secret=tags.get(f"{PREFIX}:secret", ""),
            **lists | {flag: flag in flags for flag in FLAG_OPTIONS},
        )


def account_options(**options: Any) -> AccountOptions:
    """The options of a set-up, validated.

    Raises:
        ConfigError: Options are invalid; it names all of them.
    """
    try:
        return AccountOptions(**options)
    except ValidationError as error:
        raise ConfigError(*problems_of(error, "account", AccountOptions)) from error


@dataclass(frozen=True)
class Setup:
    """A set-up of dcp in a region of an account: its options, and the names of its resources.

    Attributes:
        name: The name of the set-up; an account may have several.
        partition: `aws`, `aws-cn`, ...
        account: The account's id.
        region: The region.
        options: Its options.
    """

    name: str
    partition: str
    account: str
    region: str
    options: AccountOptions

    @property
    def owner(self) -> str:
        """The value of the tag that identifies its resources."""
        return f"{self.name}-{self.region}"

    def named(self, part: str) -> str:
        """The name of a resource; includes the region, because IAM's names are global."""
        return f"{self.name}-{part}-{self.region}"

    def role_arn(self, name: str) -> str:
        """The ARN of a role."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"

    @property
    def task_role(self) -> str:
        """The role of the worker's containers."""
        return self.named("task")

    @property
    def execution_role(self) -> str:
        """The role that ECS uses to start containers."""
        return self.named("execution")

    @property
    def flow_role(self) -> str:
        """The role of flows that run in AWS."""
        return self.named("flows")

    @property
    def safety_net_name(self) -> str:
        """The name of the safety net's function, role and schedule."""
        return self.named("safety-net")

    @property
    def schedule_role(self) -> str:
        """The role that the schedule uses to call the function."""
        return self.named("schedule")

    @property
    def function_arn(self) -> str:
        """The ARN of the safety net's function."""
        name = self.safety_net_name
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{name}"

    @property
    def schedule_group_arn(self) -> str:
        """The ARN of the safety net's schedule group."""
        name = self.safety_net_name
        return f"arn:{self.partition}:scheduler:{self.region}:{self.account}:schedule-group/{name}"

    @property
    def flows_policy(self) -> str:
        """The ARN of the policy for running the flows."""
        return f"arn:{self.partition}:iam::{self.account}:policy/{self.named('flows')}"

    @cached_property
    def placeholders(self) -> Placeholders:
        """Values of the placeholders in policies."""
        options = self.options
        label = "".join(word.title() for word in self.owner.split("-"))
        return {
            "name": (self.name,),
            "partition": (self.partition,),
            "region": (self.region,),
            "account": (self.account,),
            "apps": tuple(f"{app}*" for app in options.apps) or ("*",),
            "bucket": (options.bucket,),
            "inputs": options.inputs or (options.bucket,),
            "outputs": options.outputs or (options.bucket,),
            "secret": (options.api_key_secret,) if options.api_key_secret else (),
            "safety_net": (self.safety_net_name,),
            "label": ("".join(filter(str.isalnum, label)),),
            "roles": (self.task_role, self.execution_role, INSTANCE_ROLE, FLEET_ROLE),
        }


def open_setup(
    aws: AccountAws, region: str, name: str = "dcp", overrides: Mapping[str, Any] | None = None
) -> Setup:
    """The set-up of this name with its stored options, overridden by `overrides`.

    Args:
        aws: The clients.
        region: The region.
        name: The name of the set-up.
        overrides: Fields of `AccountOptions` that override the stored options.

    Raises:
        ConfigError: The set-up does not exist and no bucket is given, or an option is invalid.
        AwsRefused: There are no credentials, or AWS rejects them.
        AwsUnreachable: AWS does not respond.
    """
    if not NAME.fullmatch(name):
        allowed = "1 to 16 lower-case letters, digits and hyphens, starting with a letter"
        raise ConfigError(Problem("account", "name", "is not a valid set-up name", name, allowed))
    try:
        identity = aws.sts.get_caller_identity()
        partition, account = identity["Arn"].split(":")[1], identity["Account"]
        tags = _tags_of_task_role(aws, f"{name}-task-{region}", f"{name}-{region}")
    except AwsError as error:
        needs = "The credentials need iam:GetRole."
        if refused := access_error(error, "", "Could not read the account's set-up", needs):
            raise refused from error
        raise
    stored = AccountOptions.from_tags(tags).model_dump() if tags else {}
    options = stored | dict(overrides or {})
    if not options.get("bucket"):
        raise ConfigError(
            Problem(
                f"account {account}",
                "bucket",
                f"is required, because the set-up {name} in {region} does not exist yet",
                remedy="Name the bucket of records and logs: dcp account create --bucket BUCKET.",
            )
        )
    return Setup(name, partition, account, region, account_options(**options))


def other_owners(aws: AccountAws, setup: Setup) -> list[str]:
    """The other set-ups of the account in any region, which also use shared resources."""
    owners = []
    for page in aws.iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            match = TASK_ROLE.fullmatch(role["RoleName"])
            owner = f"{match['name']}-{match['region']}" if match else setup.owner
            if owner != setup.owner and _tags_of_task_role(aws, role["RoleName"], owner):
                owners.append(owner)
    return owners


def _tags_of_task_role(aws: AccountAws, role: str, owner: str) -> dict[str, str]:
    try:
        description = aws.iam.get_role(RoleName=role)["Role"]
    except ClientError as error:
        if error_code(error) == "NoSuchEntity":
            return {}
        raise
    tags = {tag["Key"]: tag["Value"] for tag in description.get("Tags", [])}
    return tags if tags.get(TAG) == owner and f"{PREFIX}:bucket" in tags else {}
