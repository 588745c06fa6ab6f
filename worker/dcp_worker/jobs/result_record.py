"""The result record of a job, one S3 object each (docs/contract.schema.json)."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from dcp_worker import __version__
from dcp_worker.common.aws_clients import exists

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

    from dcp_worker.jobs.message import Job


@dataclass
class Measurements:
    """Measurements of an attempt, filled in while it runs. Times in seconds."""

    wait: float = 0.0
    download: float = 0.0
    cellprofiler: float = 0.0
    upload: float = 0.0
    files: int = 0
    bytes: int = 0
    peak_memory_mb: float = 0.0


@dataclass(frozen=True)
class ResultRecord:
    """The end of a job. `job` is None when its message could not be read."""

    job: Job | None
    job_id: str
    run_id: str
    app_name: str
    status: str
    reason: str
    reason_text: str
    attempt: int
    instance_id: str
    started_at: datetime
    ended_at: datetime
    log_stream: str
    measurements: Measurements = field(default_factory=Measurements)

    def document(self) -> dict[str, Any]:
        """The record in the form of the contract."""
        job, measurements = self.job, self.measurements
        return {
            "job_id": self.job_id,
            "run_id": self.run_id,
            "app_name": self.app_name,
            "status": self.status,
            "reason": self.reason,
            "reason_text": self.reason_text,
            "Metadata": job.metadata if job else "",
            "pipeline": job.pipeline if job else "",
            "data_file": job.data_file if job else "",
            "output": job.output if job else "",
            "attempt": self.attempt,
            "seconds": {
                "wait": round(measurements.wait, 3),
                "download": round(measurements.download, 3),
                "cellprofiler": round(measurements.cellprofiler, 3),
                "upload": round(measurements.upload, 3),
            },
            "files": measurements.files,
            "bytes": measurements.bytes,
            "peak_memory_mb": round(measurements.peak_memory_mb, 1),
            "instance_id": self.instance_id,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "versions": {
                "dcp_worker": __version__,
                "cellprofiler": cellprofiler_version(),
                "python": platform.python_version(),
            },
            "log_stream": self.log_stream,
        }


def cellprofiler_version() -> str:
    """Version of the installed CellProfiler; empty without one."""
    try:
        return version("cellprofiler")
    except PackageNotFoundError:
        return ""


def key(app_name: str, run_id: str, status: str, name: str) -> str:
    """Key of a job's record; with the status in the key, a listing yields the counts."""
    return f"dcp/{app_name}/{run_id}/results/{status}/{name}.json"


def write(s3: S3Client, bucket: str, result: ResultRecord, name: str) -> None:
    """Write a record below the run's results, as `name` (usually the job id)."""
    s3.put_object(
        Bucket=bucket,
        Key=key(result.app_name, result.run_id, result.status, name),
        Body=json.dumps(result.document(), ensure_ascii=False).encode("utf-8"),
        ContentType="application/json",
    )


def has_succeeded(s3: S3Client, bucket: str, app_name: str, job: Job) -> bool:
    """Whether the job already has a success record in this run (SQS may deliver twice)."""
    return exists(s3, bucket, key(app_name, job.run_id, "succeeded", job.job_id))
