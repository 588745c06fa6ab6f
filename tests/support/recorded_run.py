"""A run whose record the test writes: jobs and their results."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from blocks import AwsCredentials, RunConfig
from deployments.local.bucket_folders import make_bucket
from tasks.aws.clients import Aws
from tasks.jobs.messages import JobMessage
from tasks.runs import record
from tasks.runs.run import Run

PIPELINE = "p/a.cppipe"


def config_at(endpoint_url: str, app: str, **settings: Any) -> RunConfig:
    """The config of an app for the AWS endpoint."""
    values: dict[str, Any] = {
        "app_name": app,
        "dockerhub_tag": "lab/worker:1",
        "aws_bucket": f"{app.lower()}-bucket",
        "aws_credentials": AwsCredentials(
            aws_access_key_id="local",
            aws_secret_access_key="local",
            aws_client_parameters={"endpoint_url": endpoint_url},
        ),
    }
    return RunConfig(**(values | settings))


def new_run(config: RunConfig, run_id: str = "20260301-120000-abcdef") -> Run:
    """A started run with its bucket."""
    run = Run(config, run_id, Aws.connect(config.credentials, config.aws_region))
    make_bucket(run.aws.s3, config.aws_bucket, config.aws_region)
    record.begin(run)
    return run


def job(run: Run, metadata: str, pipeline: str = PIPELINE) -> JobMessage:
    """A job of the run."""
    return JobMessage(metadata, pipeline, "p/a.csv", "", "out", "", run.run_id)


def plan(run: Run, jobs: Iterable[JobMessage]) -> list[JobMessage]:
    """Write the plan of the run."""
    planned = list(jobs)
    record.put(run, "jobs.jsonl", "".join(message.body + "\n" for message in planned))
    record.update(run, jobs=len(planned))
    record.note_submitted(run, len(planned))
    return planned


def result(run: Run, message: JobMessage, status: str, **fields: Any) -> dict[str, Any]:
    """A result record like a worker's."""
    return {
        "job_id": message.job_id,
        "run_id": run.run_id,
        "app_name": run.names.app,
        "status": status,
        "reason": "",
        "reason_text": "",
        "Metadata": message.metadata,
        "pipeline": message.pipeline,
        "data_file": message.data_file,
        "output": message.output_prefix,
        "attempt": 1,
        "seconds": {"wait": 3.0, "download": 1.0, "cellprofiler": 10.0, "upload": 0.5},
        "files": 5,
        "bytes": 1000,
        "peak_memory_mb": 512.5,
        "instance_id": "i-0123456789abcdef0",
        "started_at": "2026-03-01T12:00:00+00:00",
        "ended_at": "2026-03-01T12:00:11.500000+00:00",
        "versions": {"dcp_worker": "0.1.0", "cellprofiler": "4.2.8", "python": "3.9.18"},
        "log_stream": message.metadata_id,
    } | fields


def ends(run: Run, message: JobMessage, status: str, **fields: Any) -> None:
    """Record the result of a job."""
    text = json.dumps(result(run, message, status, **fields))
    record.put(run, f"results/{status}/{message.job_id}.json", text)


def fails(run: Run, message: JobMessage, reason: str, text: str = "why", **fields: Any) -> None:
    """Record the failure of a job."""
    ends(run, message, "failed", reason=reason, reason_text=text, **fields)


def end(run: Run, note: str = "") -> None:
    """Record the end of the run."""
    record.update(run, state="ended", ended_at=datetime.now(UTC), note=note)
