"""The options of an account's set-up, and the names of its parts."""

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
from tasks.account.policy_statements import Places
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
LONGEST_NOTE = 256  # characters in a tag's value (IAM User Guide, "Tagging IAM resources")
FLAGS = ("safety_net", "execution_role", "flow_role")
SEVERAL = ("inputs", "outputs", "apps")


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


class Wanted(BaseModel):
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
        long = [key for key, value in self.note().items() if len(value) > LONGEST_NOTE]
        if long:
            raise Refusal(
                f"do not fit into a tag of {LONGEST_NOTE} characters",
                key=long[0].removeprefix(f"{PREFIX}:"),
                remedy="Move some of them to another set-up (--name).",
            )
        return self

    def note(self) -> dict[str, str]:
        """The options as tags of a role, which store them."""
        return {
            f"{PREFIX}:bucket": self.bucket,
            f"{PREFIX}:inputs": " ".join(self.inputs),
            f"{PREFIX}:outputs": " ".join(self.outputs),
            f"{PREFIX}:apps": " ".join(self.apps),
            f"{PREFIX}:secret": self.api_key_secret,
            f"{PREFIX}:parts": " ".join(flag for flag in FLAGS if getattr(self, flag)),
        }

    @classmethod
    def noted(cls, tags: Mapping[str, str]) -> "Wanted":
        """The options stored in a role's tags."""
        lists: dict[str, Any] = {key: tags.get(f"{PREFIX}:{key}", "").split() for key in SEVERAL}
        flags = tags.get(f"{PREFIX}:parts", "").split()
        return cls(
            bucket=tags[f"{PREFIX}:bucket"],
            api_key_secret=tags.get(f"{PREFIX}:secret", ""),
            **lists | {flag: flag in flags for flag in FLAGS},
        )


def wanted_of(**options: Any) -> Wanted:
    """The options of a set-up, validated.

    Raises:
        ConfigError: Options are invalid; it names all of them.
    """
    try:
        return Wanted(**options)
    except ValidationError as error:
        raise ConfigError(*problems_of(error, "account", Wanted)) from error


@dataclass(frozen=True)
class Setup:
    """A set-up of dcp in a region of an account: its options, and the names of its parts.

    Attributes:
        name: The name of the set-up; an account may have several.
        partition: `aws`, `aws-cn`, ...
        account: The account's id.
        region: The region.
        wanted: Its options.
    """

    name: str
    partition: str
    account: str
    region: str
    wanted: Wanted

    @property
    def owner(self) -> str:
        """The value of the tag that identifies its parts."""
        return f"{self.name}-{self.region}"

    def named(self, part: str) -> str:
        """The name of a part. It has the region, because IAM's names are global in an account."""
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
    def net(self) -> str:
        """The name of the safety net's function, role and schedule."""
        return self.named("safety-net")

    @property
    def schedule_role(self) -> str:
        """The role that the schedule uses to call the function."""
        return self.named("schedule")

    @property
    def function_arn(self) -> str:
        """The ARN of the safety net's function."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{self.net}"

    @property
    def schedule_group_arn(self) -> str:
        """The ARN of the safety net's schedule group."""
        return (
            f"arn:{self.partition}:scheduler:{self.region}:{self.account}:schedule-group/{self.net}"
        )

    @property
    def flows_policy(self) -> str:
        """The ARN of the policy for running the flows."""
        return f"arn:{self.partition}:iam::{self.account}:policy/{self.named('flows')}"

    @cached_property
    def places(self) -> Places:
        """Values of the names in braces in policies."""
        wanted = self.wanted
        label = "".join(word.title() for word in self.owner.split("-"))
        return {
            "name": (self.name,),
            "partition": (self.partition,),
            "region": (self.region,),
            "account": (self.account,),
            "apps": tuple(f"{app}*" for app in wanted.apps) or ("*",),
            "bucket": (wanted.bucket,),
            "inputs": wanted.inputs or (wanted.bucket,),
            "outputs": wanted.outputs or (wanted.bucket,),
            "secret": (wanted.api_key_secret,) if wanted.api_key_secret else (),
            "net": (self.net,),
            "label": ("".join(filter(str.isalnum, label)),),
            "roles": (self.task_role, self.execution_role, INSTANCE_ROLE, FLEET_ROLE),
        }


def open_setup(
    aws: AccountAws, region: str, name: str = "dcp", given: Mapping[str, Any] | None = None
) -> Setup:
    """The set-up of this name with its stored options, overridden by `given`.

    Args:
        aws: The clients.
        region: The region.
        name: The name of the set-up.
        given: Fields of `Wanted` that override the stored options.

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
        if refused := access_error(error, "account", "could not be read", needs):
            raise refused from error
        raise
    stored = Wanted.noted(tags).model_dump() if tags else {}
    options = stored | dict(given or {})
    if not options.get("bucket"):
        raise ConfigError(
            Problem(
                f"account {account}",
                "bucket",
                f"is required, because the set-up {name} in {region} does not exist yet",
                remedy="Name the bucket of records and logs: dcp account create --bucket BUCKET.",
            )
        )
    return Setup(name, partition, account, region, wanted_of(**options))


def other_owners(aws: AccountAws, setup: Setup) -> list[str]:
    """The other set-ups of the account in any region, which use shared parts too."""
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
