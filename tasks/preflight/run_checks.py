"""What is looked at in AWS before anything is created; nothing is changed by it."""

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
        AwsUnreachable: AWS does not answer.
    """
    check_credentials(run)
    seen = data_checks.look(run, sets, where, csvs)
    jobs = account_checks.Jobs(
        # Where the data does not tell, as many as the machines can work on at a time.
        seen.jobs or run.config.containers * run.config.docker_cores,
        {jobs.pipeline for jobs in sets},
        seen.largest_job,
        seen.images,
    )
    found, _ = account_checks.look(run, template, jobs)
    return by_level([*seen.findings, *found])


def check_credentials(run: Run) -> None:
    """Ask AWS who we are.

    Raises:
        AwsRefused: There are no credentials, or AWS does not know them.
        AwsUnreachable: AWS does not answer.
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
                "AWS refuses them" if is_refused(error) else f"AWS cannot use them ({error})",
                got=error_code(error),
                remedy="Check the credentials block, the profile or the environment that they "
                "come from, and the region.",
            )
        ) from error
