"""Checks a run before anything is created; changes nothing."""

from collections.abc import Sequence

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
)

from blocks import FleetTemplate
from blocks.errors import AwsRefused, AwsUnreachable, Problem, no_credentials
from blocks.job_file.job_set import JobSet
from tasks.aws.errors import THROTTLING_CODES, error_code, is_refused
from tasks.jobs.load_data_csv import Csvs
from tasks.preflight.aws import account_checks
from tasks.preflight.data import data_checks
from tasks.preflight.finding import Finding, by_level
from tasks.runs.run import Run


def preflight(
    run: Run, sets: Sequence[JobSet], where: str, csvs: Csvs, template: FleetTemplate
) -> list[Finding]:
    """Check everything that a run needs; change nothing.

    Args:
        run: The run.
        sets: The jobs.
        where: The job file's name, for messages.
        csvs: The data files.
        template: The fleet.

    Returns:
        The findings, errors first.

    Raises:
        AwsRefused: There are no credentials, or AWS rejects them.
        AwsUnreachable: AWS does not respond.
    """
    check_credentials(run)
    run_data = data_checks.check_data(run, sets, where, csvs)
    jobs = account_checks.JobStats(
        # If the number of jobs is unknown, assume one per slot.
        run_data.jobs or run.config.containers * run.config.docker_cores,
        {jobs.pipeline for jobs in sets},
        run_data.largest_job,
        run_data.images,
    )
    account_findings, _ = account_checks.check_account(run, template, jobs)
    return by_level([*run_data.findings, *account_findings])


def check_credentials(run: Run) -> None:
    """Verify the credentials with AWS.

    Raises:
        AwsRefused: There are no credentials, or AWS rejects them.
        AwsUnreachable: AWS does not respond.
    """
    try:
        run.aws.sts.get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        if error_code(error) in THROTTLING_CODES:
            raise
        if isinstance(error, NoCredentialsError):
            raise no_credentials("set aws_profile in the run config") from error
        if isinstance(error, ConnectionError | HTTPClientError):
            raise AwsUnreachable(f"Could not reach AWS: {error}") from error
        raise AwsRefused(
            Problem(
                "AWS credentials",
                "aws_credentials",
                "AWS rejects them" if is_refused(error) else f"AWS cannot use them ({error})",
                got=error_code(error),
                remedy="Check the region, and the credentials block, profile or environment that "
                "they come from.",
            )
        ) from error
