"""From what a user names (config, run) to a run that steps can work on."""

from blocks.reading import load_config, load_job_text
from tasks import record
from tasks.aws import Aws
from tasks.jobs import JobFile, parse_job_file
from tasks.run import Run


def open_new(config: str, run_id: str, credentials: str | None = None) -> Run:
    """A run that is to be begun under this id, or was.

    Args:
        config: Block name, path or `s3://` address of the run config.
        run_id: The id of the run.
        credentials: Name of an AwsCredentials block that takes the place of the config's own.

    Raises:
        InputError: The config is wrong or not there.
    """
    settings = load_config(config, credentials)
    return Run(settings, run_id, Aws.connect(settings.credentials, settings.aws_region))


def open_existing(config: str, run_id: str | None, credentials: str | None = None) -> Run:
    """A run that was begun, with the settings it was begun with.

    Args:
        config: As for `open_new`; names the app and its bucket.
        run_id: The id of the run; None for the app's newest.
        credentials: As for `open_new`.

    Raises:
        InputError: The config is wrong or not there, or there is no such run.
    """
    asking = open_new(config, "", credentials)
    return record.find(asking.aws, asking.config, run_id)


def open_job_file(run: Run, job: str) -> JobFile:
    """The job file at a source.

    Args:
        run: The run; its credentials read an `s3://` source.
        job: Block name, path or `s3://` address.

    Raises:
        InputError: The job file is wrong or not there.
    """
    return parse_job_file(load_job_text(job, run.config.credentials), job)
