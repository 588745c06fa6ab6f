"""Bucket policies: for the export of logs, and for the buckets of other accounts."""

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from blocks.errors import ConfigError, Problem
from tasks.account.policy_statements import Document, Places, Statement, document, same
from tasks.account.resource import AS_MADE, DIFFERS, MISSING, Look
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
        "CloudWatch Logs looks whose the bucket is",
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
"""As the CloudWatch Logs User Guide has it: "Export log data to Amazon S3"."""

READ: tuple[Statement, ...] = (
    Statement(
        ("s3:ListBucket",),
        ("arn:{partition}:s3:::{bucket}",),
        "what is there",
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
        "giving the owner the outputs; no parts of a broken upload stay",
        {},
        {"AWS": ("{roles}",)},
        "DcpWriteInParts",
    ),
)


def for_other_account(
    bucket: str, roles: tuple[str, ...], write: bool = False, prefix: str = ""
) -> Document:
    """The policy that the owner of a bucket in another account gives it.

    Amazon S3 User Guide, "Bucket owner granting cross-account bucket permissions" and "Granting
    s3:PutObject permission with a condition".

    Args:
        bucket: The bucket.
        roles: ARNs of the roles that read it: the containers' and who runs the flows.
        write: Whether they write too.
        prefix: Below which keys; empty: all.

    Raises:
        ConfigError: A role is no ARN of IAM.
    """
    wrong = [
        Problem("bucket policy", "role", "is not the ARN of a role or user", one, PRINCIPALS)
        for one in roles
        if not PRINCIPAL.fullmatch(one)
    ]
    if wrong:
        raise ConfigError(*wrong)
    partition = roles[0].split(":")[1]
    places = {"partition": (partition,), "bucket": (bucket,), "prefix": (prefix,), "roles": roles}
    return document(READ + (WRITE if write else ()), places)


@dataclass(frozen=True)
class ExportPolicy:
    """The statements of a bucket's policy that let CloudWatch Logs export into it.

    The rest of the bucket's policy is left as it is; ours are told by their ids.
    """

    s3: "S3Client"
    bucket: str
    places: Places

    @property
    def what(self) -> str:
        """What it is, for people."""
        return f"log export in the policy of bucket {self.bucket}"

    def look(self) -> Look:
        """Whether our statements are there as they should be."""
        wanted = document(EXPORTS, self.places)
        ours, _ = self._split(self._current(), wanted)
        if not ours:
            return MISSING
        return AS_MADE if same({"Statement": ours}, wanted) else DIFFERS

    def make(self, found: Look) -> None:
        """Put our statements into the policy, in the place of older ones."""
        wanted = document(EXPORTS, self.places)
        current = self._current()
        _, others = self._split(current, wanted)
        self._put(wanted | current | {"Statement": others + wanted["Statement"]})

    def remove(self) -> None:
        """Take our statements out of the policy."""
        current = self._current()
        ours, others = self._split(current, document(EXPORTS, self.places))
        if not ours:
            return
        if others:
            self._put(current | {"Statement": others})
        else:
            self.s3.delete_bucket_policy(Bucket=self.bucket)

    def _split(self, current: Document, wanted: Document) -> tuple[list[Any], list[Any]]:
        sids = {one["Sid"] for one in wanted["Statement"]}
        statements = current.get("Statement", [])
        listed = statements if isinstance(statements, list) else [statements]
        return (
            [one for one in listed if one.get("Sid") in sids],
            [one for one in listed if one.get("Sid") not in sids],
        )

    def _current(self) -> Document:
        try:
            text = self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"]
        except ClientError as error:
            # What lies in a bucket that is gone is gone too; making it fails, and says so.
            if error_code(error) in ("NoSuchBucketPolicy", "NoSuchBucket"):
                return {}
            raise
        policy: Document = json.loads(text)
        return policy

    def _put(self, policy: Document) -> None:
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))
