"""`report.csv`: what became of each job, a row each, in the order of the run's jobs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from botocore.exceptions import ClientError

from tasks.aws.concurrency import in_order
from tasks.aws.errors import error_code
from tasks.jobs.messages import JobMessage
from tasks.jobs.results import Account
from tasks.jobs.wells import place_of
from tasks.resources.console_links import log_link, stream_name
from tasks.runs import record
from tasks.runs.run import Run

PARALLEL = 32  # the connections that a client keeps (tasks.aws.clients.CLIENT_CONFIG)


@dataclass(frozen=True)
class JobRow:
    """A job and its end; the names are the columns. Without a result, its figures are 0.

    Attributes:
        group: Metadata of the group, `K=V,K=V`.
        status: `succeeded`, `skipped`, `failed`; `lost` when it has no result.
        reason: Code of the reason of a job that did not succeed.
        wait_seconds: From the sending of its message to its receipt.
        log: Address of its log in the console.
    """

    plate: str
    well: str
    site: str
    group: str
    status: str
    reason: str
    reason_text: str
    attempt: int
    wait_seconds: float
    download_seconds: float
    cellprofiler_seconds: float
    upload_seconds: float
    peak_memory_mb: float
    files: int
    bytes: int
    instance_id: str
    started_at: str
    ended_at: str
    pipeline: str
    output: str
    log: str
    job_id: str

    @property
    def seconds(self) -> float:
        """How long a machine was at work on it: all but the wait in the queue."""
        return self.download_seconds + self.cellprofiler_seconds + self.upload_seconds


COLUMNS = tuple(field.name for field in fields(JobRow))


def job_row(
    run: Run, status: str, result: Mapping[str, Any], message: JobMessage | None = None
) -> JobRow:
    """The row of a job.

    Args:
        run: Its run.
        status: What became of it.
        result: Its result record; whatever it lacks is empty or 0.
        message: Its message, which says what the result does not.
    """
    group = str(result.get("Metadata") or (message.metadata if message else ""))
    place = place_of(group)
    seconds = result.get("seconds", {})
    # A worker that was killed could not name its log, which is where to look.
    stream = result.get("log_stream") or (stream_name(message.metadata_id) if message else "")
    return JobRow(
        plate=place.plate,
        well=place.well,
        site=place.site,
        group=group,
        status=status,
        reason=result.get("reason", ""),
        reason_text=result.get("reason_text", ""),
        attempt=result.get("attempt", 0),
        wait_seconds=seconds.get("wait", 0.0),
        download_seconds=seconds.get("download", 0.0),
        cellprofiler_seconds=seconds.get("cellprofiler", 0.0),
        upload_seconds=seconds.get("upload", 0.0),
        peak_memory_mb=result.get("peak_memory_mb", 0.0),
        files=result.get("files", 0),
        bytes=result.get("bytes", 0),
        instance_id=result.get("instance_id", ""),
        started_at=result.get("started_at", ""),
        ended_at=result.get("ended_at", ""),
        pipeline=result.get("pipeline") or (message.pipeline if message else ""),
        output=result.get("output") or (message.output_prefix if message else ""),
        log=log_link(run.config.aws_region, run.names.log_group, stream),
        job_id=result.get("job_id") or (message.job_id if message else ""),
    )


def lost_result(note: str) -> dict[str, str]:
    """What is said of a job that has no result, in the place of one."""
    text = note or "the run ended before this job had a result"
    return {"reason": "no_result", "reason_text": text}


def planned(run: Run) -> Iterator[JobMessage]:
    """The jobs of the run, in their order, one at a time."""
    for line in record.job_lines(run):
        message = json.loads(line)
        yield JobMessage(
            metadata=message["Metadata"],
            pipeline=message["pipeline"],
            data_file=message["data_file"],
            input=message["input"],
            output=message["output"],
            output_structure=message["output_structure"],
            run_id=message.get("run_id", ""),
        )


def job_rows(run: Run, found: Account, note: str = "") -> Iterator[JobRow]:
    """A row for each job of the run, in the order of its jobs; records are read in parallel.

    Holds a few hundred rows at a time, however many jobs there are.

    Args:
        run: The run.
        found: Its account.
        note: Why the run ended before its jobs did.
    """

    def row(message: JobMessage) -> JobRow:
        status = status_of(found, message.job_id)
        result = lost_result(note) if status == "lost" else read_result(run, status, message.job_id)
        return job_row(run, status, result, message)

    return in_order(row, planned(run), PARALLEL, "results")


def status_of(found: Account, job_id: str) -> str:
    """What became of a job, by the account; `lost` when it has no result."""
    if job_id in found.succeeded:
        return "succeeded"
    if job_id in found.skipped:
        return "skipped"
    return "failed" if job_id in found.failed else "lost"


def read_result(run: Run, status: str, name: str) -> dict[str, Any]:
    """A result record; an empty one when somebody has deleted it since it was listed."""
    key = run.key(record.result(status, name))
    try:
        body = run.aws.s3.get_object(Bucket=run.config.aws_bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error_code(error) == "NoSuchKey":
            return {}
        raise
    result: dict[str, Any] = json.loads(body)
    return result
