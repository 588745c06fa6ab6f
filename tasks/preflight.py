"""What is looked at in AWS before anything is created; nothing is changed by it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from blocks import FleetTemplate, JobFile
from blocks.errors import AwsRefused, NotFound, Problem
from tasks.aws import THROTTLING_CODES, aws_task, error_code, is_refused, unsigned
from tasks.checks import account, data
from tasks.findings import Finding, by_level
from tasks.run import Run

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from blocks.job_sets import JobSet
    from tasks.load_data import Csvs


def preflight(
    run: Run, sets: "Sequence[JobSet]", where: str, csvs: "Csvs", template: FleetTemplate
) -> list[Finding]:
    """Look at everything a run needs, and change nothing.

    Args:
        run: The run.
        sets: The jobs.
        where: The job file's name, for messages.
        csvs: The data files.
        template: The fleet.

    Returns:
        What was found, the errors first.

    Raises:
        AwsRefused: There are no credentials, or AWS does not know them.
    """
    check_credentials(run)
    seen = data.look(run, sets, where, csvs)
    jobs = account.Jobs(
        # Where the data does not tell, as many as the machines can work on at a time.
        seen.jobs or run.config.containers * run.config.docker_cores,
        {jobs.pipeline for jobs in sets},
        seen.largest_job,
        seen.images,
    )
    found, _ = account.look(run, template, jobs)
    return by_level([*seen.findings, *found])


preflight_task = aws_task("preflight")(preflight)


@aws_task("preflight")
def check(run: Run, jobs: JobFile, where: str) -> None:
    """Check the credentials, every bucket, the pipeline and the data file.

    Args:
        run: The run.
        jobs: The job file.
        where: The job file's name, for messages.

    Raises:
        InputError: All that is wrong, at once.
    """
    check_credentials(run)
    problems = [problem for bucket in run.config.buckets() if (problem := _bucket(run, bucket))]
    if not problems:
        for key in ("pipeline", "data_file"):
            problem = _object(run, where, key, getattr(jobs, key))
            if problem:
                problems.append(problem)
    if problems:
        raise NotFound(*problems)


def check_credentials(run: Run) -> None:
    """Ask AWS who we are.

    Raises:
        AwsRefused: There are no credentials, or AWS does not know them.
    """
    try:
        run.aws.sts.get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        if error_code(error) in THROTTLING_CODES:
            raise
        raise AwsRefused(
            Problem(
                "AWS credentials",
                "aws_credentials",
                "AWS refuses them" if is_refused(error) else "AWS could not be asked who we are",
                got=error_code(error) or type(error).__name__,
                remedy="Look at the credentials block, the profile or the environment that they "
                "come from, and at the region.",
            )
        ) from error


def _bucket(run: Run, bucket: str) -> Problem | None:
    keys = [
        key
        for key in ("aws_bucket", "source_bucket", "workspace_bucket", "destination_bucket")
        if getattr(run.config, key) == bucket
    ]
    refused = "these credentials may not look into the bucket"
    if _public(run, bucket):
        refused = "the bucket may not be looked into without credentials (no_sign_request)"
    return _missing(
        lambda: _s3(run, bucket).head_bucket(Bucket=bucket),
        Problem("run config", keys[0], "there is no such bucket", got=bucket),
        Problem("run config", keys[0], refused, bucket),
    )


def _public(run: Run, bucket: str) -> bool:
    """Whether the workers will read the bucket without credentials."""
    return run.config.no_sign_request and bucket == run.config.images_bucket


def _s3(run: Run, bucket: str) -> "S3Client":
    return unsigned(run.aws.s3) if _public(run, bucket) else run.aws.s3


def _object(run: Run, where: str, key: str, value: str) -> Problem | None:
    bucket = run.config.workspace
    address = f"s3://{bucket}/{value}"
    return _missing(
        lambda: _s3(run, bucket).head_object(Bucket=bucket, Key=value),
        Problem(
            where,
            key,
            "there is no such object",
            got=address,
            remedy="Keys are paths from the top of the bucket, without a leading slash.",
        ),
        Problem(where, key, "these credentials may not read the object", got=address),
    )


def _missing(ask: Callable[[], Any], missing: Problem, refused: Problem) -> Problem | None:
    try:
        ask()
    except ClientError as error:
        if is_refused(error):
            return refused
        if error_code(error) in ("404", "NoSuchBucket", "NoSuchKey"):
            return missing
        raise
    return None
