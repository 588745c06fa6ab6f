"""Bucket policies: for the export of logs, and for other accounts' buckets."""

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from blocks.errors import ConfigError, Problem
from tasks.account.policy_statements import (
    Document,
    Placeholders,
    Statement,
    document,
    have_same_grants,
)
from tasks.account.resource import MISSING, POLICY_DIFFERS, UP_TO_DATE, ResourceState
from tasks.aws.errors import error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EXPORTER = {"Service": ("logs.{region}.amazonaws.com",)}
FOR_ACCOUNT = {"aws:SourceAccount": ("{account}",)}
FROM_LOG_GROUPS = {"aws:SourceArn": ("arn:{partition}:logs:{region}:{account}:log-group:*",)}
PRINCIPAL = re.compile(r"arn:aws[\w-]*:iam::\d{12}:(role|user)/[\w+=,.@/-]+")
PRINCIPALS = "arn:aws:iam::<account>:role/<name>, or :user/<name>"
OWNED = {"s3:x-amz-acl": ("bucket-owner-full-control",)}

EXPORTS: tuple[Statement, ...] = (
    Statement(
        ("s3:GetBucketAcl",),
        ("arn:{partition}:s3:::{bucket}",),
        "CloudWatch Logs checks who owns the bucket",
        {"StringEquals": FOR_ACCOUNT, "ArnLike": FROM_LOG_GROUPS},
        EXPORTER,
        "{label}LogExportAcl",
    ),
    Statement(
        ("s3:PutObject",),
        ("arn:{partition}:s3:::{bucket}/exportedlogs/*",),
        "CloudWatch Logs writes the exported logs",
        {"StringEquals": OWNED | FOR_ACCOUNT, "ArnLike": FROM_LOG_GROUPS},
        EXPORTER,
        "{label}LogExport",
    ),
)
"""From the CloudWatch Logs User Guide, "Export log data to Amazon S3"."""

READ: tuple[Statement, ...] = (
    Statement(
        ("s3:ListBucket",),
        ("arn:{partition}:s3:::{bucket}",),
        "listing of existing objects",
        {},
        {"AWS": ("{roles}",)},
        "DcpList",
    ),
    Statement(
        ("s3:GetObject",),
        ("arn:{partition}:s3:::{bucket}/{prefix}*",),
        "images, pipelines, CSVs; outputs, confirmed after the upload",
        {},
        {"AWS": ("{roles}",)},
        "DcpRead",
    ),
)
WRITE: tuple[Statement, ...] = (
    Statement(
        ("s3:PutObject",),
        ("arn:{partition}:s3:::{bucket}/{prefix}*",),
        "outputs, which the bucket's owner owns",
        {"StringEquals": OWNED},
        {"AWS": ("{roles}",)},
        "DcpWrite",
    ),
    Statement(
        ("s3:PutObjectAcl", "s3:AbortMultipartUpload"),
        ("arn:{partition}:s3:::{bucket}/{prefix}*",),
        "giving the owner the outputs; removing the parts of a failed upload",
        {},
        {"AWS": ("{roles}",)},
        "DcpWriteInParts",
    ),
)


def for_other_account(
    bucket: str, roles: tuple[str, ...], write: bool = False, prefix: str = ""
) -> Document:
    """The policy that another account attaches to its bucket.

    Amazon S3 User Guide, "Bucket owner granting cross-account bucket permissions" and "Granting
    s3:PutObject permission with a condition".

    Args:
        bucket: The bucket.
        roles: ARNs of the roles that read it: the containers' role, and whoever runs the flows.
        write: Whether they also write to it.
        prefix: Limits access to keys with this prefix; empty: all keys.

    Raises:
        ConfigError: A role is not an IAM ARN.
    """
    problems = [
        Problem("bucket policy", "role", "is not the ARN of a role or user", role, PRINCIPALS)
        for role in roles
        if not PRINCIPAL.fullmatch(role)
    ]
    if problems:
        raise ConfigError(*problems)
    partition = roles[0].split(":")[1]
    placeholders = {
        "partition": (partition,),
        "bucket": (bucket,),
        "prefix": (prefix,),
        "roles": roles,
    }
    return document(READ + (WRITE if write else ()), placeholders)


@dataclass(frozen=True)
class ExportPolicy:
    """The statements of a bucket's policy that let CloudWatch Logs export into it.

    Other statements of the policy stay unchanged; ids identify ours.
    """

    s3: "S3Client"
    bucket: str
    placeholders: Placeholders

    @property
    def description(self) -> str:
        """Description for people."""
        return f"log export in the policy of bucket {self.bucket}"

    def check(self) -> ResourceState:
        """Whether our statements exist and are correct."""
        wanted = document(EXPORTS, self.placeholders)
        ours, _ = self._split(self._current(), wanted)
        if not ours:
            return MISSING
        return UP_TO_DATE if have_same_grants({"Statement": ours}, wanted) else POLICY_DIFFERS

    def ensure(self, before: ResourceState) -> None:
        """Add our statements to the policy; replaces older ones."""
        wanted = document(EXPORTS, self.placeholders)
        current = self._current()
        _, others = self._split(current, wanted)
        self._put(wanted | current | {"Statement": others + wanted["Statement"]})

    def remove(self) -> None:
        """Remove our statements from the policy."""
        current = self._current()
        ours, others = self._split(current, document(EXPORTS, self.placeholders))
        if not ours:
            return
        if others:
            self._put(current | {"Statement": others})
        else:
            self.s3.delete_bucket_policy(Bucket=self.bucket)

    def _split(self, current: Document, wanted: Document) -> tuple[list[Any], list[Any]]:
        sids = {statement["Sid"] for statement in wanted["Statement"]}
        existing = current.get("Statement", [])
        listed = existing if isinstance(existing, list) else [existing]
        return (
            [statement for statement in listed if statement.get("Sid") in sids],
            [statement for statement in listed if statement.get("Sid") not in sids],
        )

    def _current(self) -> Document:
        try:
            text = self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"]
        except ClientError as error:
            # A deleted bucket has no policy; `make` fails with AWS's error.
            if error_code(error) in ("NoSuchBucketPolicy", "NoSuchBucket"):
                return {}
            raise
        policy: Document = json.loads(text)
        return policy

    def _put(self, policy: Document) -> None:
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))
