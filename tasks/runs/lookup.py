"""Finding a run by its app's name, on a computer that has only AWS credentials."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pydantic import ValidationError

from blocks import RunConfig
from blocks.credentials.identity import Credentials, DefaultCredentials
from blocks.errors import ConfigError, InputError, NotFound, Problem
from blocks.plurals import plural
from blocks.resource_names import Names
from blocks.validation_errors import problems_of
from tasks.aws.clients import Aws
from tasks.aws.concurrency import in_order
from tasks.aws.errors import AwsError, access_error, error_code, is_missing
from tasks.runs import record
from tasks.runs.run import Run

PARALLEL = 16


def locate(
    app: str,
    credentials: Credentials,
    region: str,
    bucket: str | None = None,
    run_id: str | None = None,
) -> Run:
    """The newest run of an app, or an earlier one, with its recorded settings.

    Args:
        app: The app's name.
        credentials: The credentials; empty ones select AWS's default chain.
        region: Region of the first request. Buckets of all regions are searched, and the run uses
            its own region.
        bucket: The bucket with the app's record (`aws_bucket`); None to search every bucket of the
            account.
        run_id: The run; None for the newest.

    Raises:
        InputError: The app or run was not found, several buckets have the app, or AWS refuses the
            credentials.
        AwsUnreachable: AWS does not answer.
    """
    config = asking(app, credentials, region, bucket or "to-be-found")
    aws = Aws.connect(config.credentials, region)
    try:
        found = bucket or _bucket_of(aws, app)
        run = record.find(aws, config.model_copy(update={"aws_bucket": found}), run_id)
    except AwsError as error:
        needs = (
            f"The credentials need s3:GetObject and s3:ListBucket on {bucket}."
            if bucket
            else "The credentials need s3:ListAllMyBuckets, or name the bucket (--bucket)."
        )
        if refused := access_error(error, f"app {app}", "could not be found", needs):
            raise refused from error
        raise
    return Run(run.config, run.run_id, Aws.connect(run.config.credentials, run.config.aws_region))


def asking(
    app: str,
    credentials: Credentials,
    region: str,
    bucket: str,
    called: Mapping[str, str] = MappingProxyType({}),
) -> RunConfig:
    """A minimal run config with names and credentials; the record has the rest.

    Args:
        app: `app_name`.
        credentials: The credentials.
        region: `aws_region`.
        bucket: `aws_bucket`.
        called: Names of these keys in messages.

    Raises:
        ConfigError: A name is not valid.
    """
    block = None if isinstance(credentials, DefaultCredentials) else credentials
    try:
        return RunConfig(
            app_name=app,
            aws_region=region,
            aws_profile=None if block else credentials.profile_name,
            aws_credentials=block,
            aws_bucket=bucket,
            dockerhub_tag="as-recorded",
        )
    except ValidationError as error:
        problems = problems_of(error, "", RunConfig)
        raise ConfigError(
            *(replace(one, key=called.get(one.key, one.key)) for one in problems)
        ) from error


def buckets_of(aws: Aws) -> list[str]:
    """The names of all buckets of the account."""
    pages = aws.s3.get_paginator("list_buckets").paginate()
    return [bucket["Name"] for page in pages for bucket in page.get("Buckets", [])]


def _bucket_of(aws: Aws, app: str) -> str:
    key = Names.of(app).latest_key
    buckets = buckets_of(aws)
    shut: list[str] = []

    def has(bucket: str) -> bool:
        try:
            aws.s3.head_object(Bucket=bucket, Key=key)
        except AwsError as error:
            if not error_code(error):
                raise
            if not is_missing(error):
                # S3 also refuses a missing object if we may not list the bucket.
                shut.append(bucket)
            return False
        return True

    answers = in_order(has, buckets, PARALLEL, "buckets")
    found = [bucket for bucket, yes in zip(buckets, answers, strict=True) if yes]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            Problem(
                f"app {app}",
                "bucket",
                "more than one bucket has runs of this app",
                allowed=", ".join(found),
                remedy="Name the bucket (--bucket).",
            )
        )
    names = ", ".join(sorted(shut)[:10])
    unread = f" {len(shut)} of them could not be read: {names}." if shut else ""
    raise NotFound(
        Problem(
            f"app {app}",
            "",
            f"no run found in any of the {plural(len(buckets), 'bucket')} of this account",
            remedy=f"Check the app's name and the credentials, or name the bucket "
            f"(--bucket).{unread}",
        )
    )
