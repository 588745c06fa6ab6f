"""Notes of completed jobs, with their inputs and outputs, kept across runs for the exact skip.

Each job has one S3 object, `dcp/<app>/done/<job_id>.json`. The worker writes it after confirming
all outputs and before the result record.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.common import s3_transfer
from dcp_worker.common.aws_clients import ABSENT
from dcp_worker.common.s3_transfer import Bucket
from dcp_worker.diagnosis.diagnose import JobFailedError, diagnose_s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from dcp_worker.common.settings import Settings
    from dcp_worker.inputs.job_inputs import InputVersions
    from dcp_worker.jobs.message import Job
    from dcp_worker.outputs.upload import UploadedFiles


def key(app_name: str, job_id: str) -> str:
    """Key of a job's note, the same in every run of the app."""
    return f"dcp/{app_name}/done/{job_id}.json"


def write_note(
    s3: S3Client, settings: Settings, job: Job, versions: InputVersions, written: UploadedFiles
) -> None:
    """Write the note of a completed job, for later runs.

    Raises:
        JobFailedError: Could not write the note to S3.
    """
    document = {**_identity(settings, job, versions), "run_id": job.run_id, "files": written.sizes}
    where = key(settings.app_name, job.job_id)
    try:
        s3.put_object(
            Bucket=settings.aws_bucket,
            Key=where,
            Body=json.dumps(document, ensure_ascii=False).encode("utf-8"),
            ContentType="application/json",
        )
    except (BotoCoreError, ClientError) as error:
        raise JobFailedError(diagnose_s3(error, "record", settings.aws_bucket, where)) from error


def is_done(s3: S3Client, settings: Settings, job: Job, versions: InputVersions) -> bool:
    """Whether an earlier run completed exactly this job, and all its outputs still exist.

    Raises:
        JobFailedError: S3 does not answer.
    """
    document = _read(s3, settings.aws_bucket, key(settings.app_name, job.job_id))
    same = document.items() >= _identity(settings, job, versions).items()
    files = document.get("files")
    if not same or not isinstance(files, dict) or not files:
        return False
    destination = Bucket(settings.destination_bucket, s3)
    sizes = s3_transfer.in_parallel(
        lambda name: _size(destination, f"{job.output}{name}"), files, lambda: None
    )
    return sizes == list(files.values())


def _size(bucket: Bucket, where: str) -> int | None:
    """Bytes of an output; None if it does not exist or is not accessible."""
    try:
        return s3_transfer.head(bucket, where, "output").size
    except JobFailedError as error:
        if error.diagnosis.permanent or error.diagnosis.code == "output_missing":
            return None
        raise


def _identity(settings: Settings, job: Job, versions: InputVersions) -> dict[str, str]:
    """The properties that identify a job together with the versions of its inputs."""
    return {
        "job_id": job.job_id,
        "pipeline": job.pipeline,
        "pipeline_etag": versions.pipeline_etag,
        "data_file": job.data_file,
        "data_file_etag": versions.data_file_etag,
        "bucket": settings.destination_bucket,
        "output": job.output,
    }


def _read(s3: S3Client, bucket: str, where: str) -> dict[str, Any]:
    """The note; empty if it is missing or invalid."""
    try:
        document = json.loads(s3.get_object(Bucket=bucket, Key=where)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            return {}
        raise JobFailedError(diagnose_s3(error, "record", bucket, where)) from error
    except BotoCoreError as error:
        raise JobFailedError(diagnose_s3(error, "record", bucket, where)) from error
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
