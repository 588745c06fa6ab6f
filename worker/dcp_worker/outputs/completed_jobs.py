"""What a success was made from and what it wrote, kept across runs for the exact skip.

One S3 object a job, `dcp/<app>/done/<job_id>.json`, written when all outputs are confirmed and
before the result record.
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
    from dcp_worker.inputs.job_inputs import Origin
    from dcp_worker.jobs.message import Job
    from dcp_worker.outputs.upload import Written


def key(app_name: str, job_id: str) -> str:
    """Where the note of a job lies; the same in every run of the app."""
    return f"dcp/{app_name}/done/{job_id}.json"


def note(s3: S3Client, settings: Settings, job: Job, origin: Origin, written: Written) -> None:
    """Note a success, for later runs.

    Raises:
        JobFailedError: S3 does not take the note.
    """
    document = {**_identity(settings, job, origin), "run_id": job.run_id, "files": written.sizes}
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


def is_done(s3: S3Client, settings: Settings, job: Job, origin: Origin) -> bool:
    """Whether an earlier run has done exactly this job, and all that it wrote is still there.

    Raises:
        JobFailedError: S3 does not answer.
    """
    noted = _read(s3, settings.aws_bucket, key(settings.app_name, job.job_id))
    same = noted.items() >= _identity(settings, job, origin).items()
    files = noted.get("files")
    if not same or not isinstance(files, dict) or not files:
        return False
    destination = Bucket(settings.destination_bucket, s3)
    there = s3_transfer.each(
        lambda name: _size(destination, f"{job.output}{name}"), files, lambda: None
    )
    return there == list(files.values())


def _size(bucket: Bucket, where: str) -> int | None:
    """Bytes of an output; None when it is not there, or not for us to see."""
    try:
        return s3_transfer.head(bucket, where, "output").size
    except JobFailedError as error:
        if error.diagnosis.permanent or error.diagnosis.code == "output_missing":
            return None
        raise


def _identity(settings: Settings, job: Job, origin: Origin) -> dict[str, str]:
    """What must be the same for the job to be the same."""
    return {
        "job_id": job.job_id,
        "pipeline": job.pipeline,
        "pipeline_etag": origin.pipeline_etag,
        "data_file": job.data_file,
        "data_file_etag": origin.data_file_etag,
        "bucket": settings.destination_bucket,
        "output": job.output,
    }


def _read(s3: S3Client, bucket: str, where: str) -> dict[str, Any]:
    """The note; empty when there is none, or something else in its place."""
    try:
        noted = json.loads(s3.get_object(Bucket=bucket, Key=where)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            return {}
        raise JobFailedError(diagnose_s3(error, "record", bucket, where)) from error
    except BotoCoreError as error:
        raise JobFailedError(diagnose_s3(error, "record", bucket, where)) from error
    except ValueError:
        return {}
    return noted if isinstance(noted, dict) else {}
