"""What an account is set up for, and the names of what that makes."""

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
from tasks.aws.errors import AwsError, error_code, refusal

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

INSTANCE_ROLE = "ecsInstanceRole"  # of AWS's console and of DCP
FLEET_ROLE = "aws-ec2-spot-fleet-tagging-role"  # of AWS's console and of DCP
NAME = re.compile("[a-z][a-z0-9-]{0,15}")  # so that a role's name keeps within 64 characters
TASK_ROLE = re.compile(r"(?P<name>.+)-task-(?P<region>[a-z]{2}-[a-z-]+-\d+)")
PREFIX = "dcp"  # of the tags that remember what a set-up is for
LONGEST_NOTE = 256  # characters of a tag's value (IAM User Guide, "Tagging IAM resources")
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
    """The clients that an account is set up with.

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
        """Make the clients; no request is sent yet."""
        make = client_maker(credentials)
        return cls(**{name: make(name.strip("_"), region) for name in cls.__dataclass_fields__})


class Wanted(BaseModel):
    """What an account is to be set up for.

    Attributes:
        bucket: The bucket of records and logs (`aws_bucket`).
        inputs: Buckets that are read (`source_bucket`, `workspace_bucket`); none: `bucket`.
        outputs: Buckets that are written to (`destination_bucket`); none: `bucket`.
        apps: What the names of apps, queues and log groups begin with; none: anything.
        safety_net: Whether AWS itself looks after runs that nobody watches.
        execution_role: Whether there is a role to pull images from ECR or a private registry.
        flow_role: Whether there is a role for flows that run in AWS.
        api_key_secret: ARN of the secret with the API key of Prefect, for such flows; empty: none.
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
                f"are more than fit into a tag of {LONGEST_NOTE} characters",
                key=long[0].removeprefix(f"{PREFIX}:"),
                remedy="Make a set-up of another name (--name) for some of them.",
            )
        return self

    def note(self) -> dict[str, str]:
        """The same as tags of a role, by which it is remembered."""
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
        """What the tags of a role remember."""
        told: dict[str, Any] = {key: tags.get(f"{PREFIX}:{key}", "").split() for key in SEVERAL}
        flags = tags.get(f"{PREFIX}:parts", "").split()
        return cls(
            bucket=tags[f"{PREFIX}:bucket"],
            api_key_secret=tags.get(f"{PREFIX}:secret", ""),
            **told | {flag: flag in flags for flag in FLAGS},
        )


def wanted_of(**given: Any) -> Wanted:
    """What an account is to be set up for.

    Raises:
        ConfigError: Something of it is wrong; all is told.
    """
    try:
        return Wanted(**given)
    except ValidationError as error:
        raise ConfigError(*problems_of(error, "account", Wanted)) from error


@dataclass(frozen=True)
class Setup:
    """A set-up of dcp in a region of an account: what for, and the names of all that it makes.

    Attributes:
        name: The name of the set-up; an account may have several.
        partition: `aws`, `aws-cn`, ...
        account: The account's id.
        region: The region.
        wanted: What it is for.
    """

    name: str
    partition: str
    account: str
    region: str
    wanted: Wanted

    @property
    def owner(self) -> str:
        """The value of the tag by which its parts are found again."""
        return f"{self.name}-{self.region}"

    def named(self, part: str) -> str:
        """The name of a part: IAM's names are of the whole account, so they say the region."""
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
        """The role with which ECS starts containers."""
        return self.named("execution")

    @property
    def flow_role(self) -> str:
        """The role of flows that run in AWS."""
        return self.named("flows")

    @property
    def net(self) -> str:
        """The safety net: function, role, schedule."""
        return self.named("safety-net")

    @property
    def schedule_role(self) -> str:
        """The role with which the schedule calls the function."""
        return self.named("schedule")

    @property
    def function_arn(self) -> str:
        """The ARN of the safety net's function."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{self.net}"

    @property
    def schedule_group_arn(self) -> str:
        """The ARN of the group of the safety net's schedule."""
        return (
            f"arn:{self.partition}:scheduler:{self.region}:{self.account}:schedule-group/{self.net}"
        )

    @property
    def flows_policy(self) -> str:
        """The ARN of the policy for whoever runs the flows."""
        return f"arn:{self.partition}:iam::{self.account}:policy/{self.named('flows')}"

    @cached_property
    def places(self) -> Places:
        """What the names in braces of policies stand for."""
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
    """The set-up of this name, as it was made, and as far as given otherwise.

    Args:
        aws: The clients.
        region: The region.
        name: The name of the set-up.
        given: Fields of `Wanted` that take the place of what it was made for.

    Raises:
        ConfigError: There is none of this name and no bucket is given, or something is wrong.
        AwsRefused: AWS has no credentials of ours, or refuses them.
        AwsUnreachable: AWS does not answer.
    """
    if not NAME.fullmatch(name):
        allowed = "1 to 16 lower-case letters, digits and hyphens, beginning with a letter"
        raise ConfigError(Problem("account", "name", "is not a name of a set-up", name, allowed))
    try:
        who = aws.sts.get_caller_identity()
        partition, account = who["Arn"].split(":")[1], who["Account"]
        tags = _tags_of_task_role(aws, f"{name}-task-{region}", f"{name}-{region}")
    except AwsError as error:
        needs = "The credentials need iam:GetRole."
        if refused := refusal(error, "account", "could not be read", needs):
            raise refused from error
        raise
    known = Wanted.noted(tags).model_dump() if tags else {}
    asked = known | dict(given or {})
    if not asked.get("bucket"):
        raise ConfigError(
            Problem(
                f"account {account}",
                "bucket",
                f"is not given, and the set-up {name} in {region} was not made yet",
                remedy="Name the bucket of records and logs: dcp account create --bucket BUCKET.",
            )
        )
    return Setup(name, partition, account, region, wanted_of(**asked))


def other_owners(aws: AccountAws, setup: Setup) -> list[str]:
    """The other set-ups of the account, in any region: what is shared is theirs too."""
    owners = []
    for page in aws.iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            named = TASK_ROLE.fullmatch(role["RoleName"])
            owner = f"{named['name']}-{named['region']}" if named else setup.owner
            if owner != setup.owner and _tags_of_task_role(aws, role["RoleName"], owner):
                owners.append(owner)
    return owners


def _tags_of_task_role(aws: AccountAws, role: str, owner: str) -> dict[str, str]:
    try:
        found = aws.iam.get_role(RoleName=role)["Role"]
    except ClientError as error:
        if error_code(error) == "NoSuchEntity":
            return {}
        raise
    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
    return tags if tags.get(TAG) == owner and f"{PREFIX}:bucket" in tags else {}
