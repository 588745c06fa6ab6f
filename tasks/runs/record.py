"""The record of a run in S3: everything another computer needs to take over the run later.

It is in `aws_bucket` below `dcp/<app_name>/<run_id>/`: the objects named here, and
`results/<status>/<job_id>.json`, which workers write. `dcp/<app_name>/latest.json` names the newest
run.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from blocks.errors import InputError, NotFound, Problem
from blocks.run_config.model import RunConfig
from tasks.aws.clients import Aws
from tasks.aws.errors import error_code, is_missing
from tasks.runs.run import Run

# Keys of the configuration that belong to the user and computer, not to the run.
NOT_RECORDED = {"aws_credentials", "aws_profile"}
RUN = "run.json"  # this module's `RunRecord`
JOBS = "jobs.jsonl"  # the plan, one job message per line (tasks/jobs/submission.py)
SUBMITTED = "submitted.json"  # how many of them are in the queue
MEMORY = "memory.json"  # state of the monitor between polls (tasks/monitor/state.py)
FINISH = "finish.json"  # drain signal: workers start no new jobs (tasks/runs/drain.py)
MACHINES = "machines.json"  # which machines ran for how long (tasks/cost/machine_hours.py)
LOGS = "logs.json"  # where the logs were exported to (tasks/resources/log_groups.py)
REPORT = "report.json"  # the counts, and the jobs that did not succeed (tasks/report/build.py)
TABLE = "report.csv"  # one row per job (tasks/report/job_table.py)
BLOCK = 1024 * 1024  # bytes of `jobs.jsonl` read at a time


def results(status: str) -> str:
    """Name of the folder with the result records of a status."""
    return f"results/{status}/"


def result(status: str, name: str) -> str:
    """Name of the result record of a job."""
    return f"{results(status)}{name}.json"


class RunRecord(BaseModel):
    """The record of a run, without its jobs and results.

    Attributes:
        state: `active` until its clean-up is complete.
        jobs: Number of jobs; None before they are planned.
        plan: Digest of the jobs, to detect a different job file.
        fleet_id: The fleet, once requested.
        fleet_at: Time of the request; earlier messages of AWS are about other fleets.
        image_digest: Digest of the worker's image, once a container ran.
        continued_at: When the run was last continued.
        continued_by: The flow run that continued it.
        spent_before: Cost of the run until then, in USD.
        ended_before: Jobs that had ended by then.
        note: Why the run ended before its jobs did.
        fleet: The fields of the fleet template.
        plates: The plates of its jobs, if known.
        retry_of: The earlier run whose failed jobs these are; "" if this is not a retry.
    """

    model_config = ConfigDict(frozen=True)

    app_name: str
    run_id: str
    state: Literal["active", "ended"] = "active"
    started_at: datetime
    ended_at: datetime | None = None
    config: dict[str, Any] = {}
    jobs: int | None = None
    plan: str = ""
    fleet_id: str | None = None
    fleet_at: datetime | None = None
    image_digest: str = ""
    continued_at: datetime | None = None
    continued_by: str = ""
    spent_before: float = 0.0
    ended_before: int = 0
    note: str = ""
    fleet: dict[str, Any] = {}
    plates: tuple[str, ...] = ()
    retry_of: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """The run's configuration, without unknown keys of other versions of dcp."""
        known = RunConfig.model_fields
        return {name: value for name, value in self.config.items() if name in known}

    @property
    def started_ms(self) -> int:
        """Start of the run, in milliseconds since 1970."""
        return int(self.started_at.timestamp() * 1000)

    @property
    def counts_from(self) -> datetime:
        """When `max_hours` starts to count."""
        return self.continued_at or self.started_at


def read_object(aws: Aws, bucket: str, key: str) -> str | None:
    """The text of an object; None if it does not exist."""
    try:
        return aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def read(run: Run, name: str) -> str | None:
    """Read an object of the run's record; None if it does not exist."""
    return read_object(run.aws, run.config.aws_bucket, run.key(name))


def put(run: Run, name: str, text: str, content_type: str = "application/json") -> str:
    """Write an object of the run's record; returns its S3 address."""
    run.aws.s3.put_object(
        Bucket=run.config.aws_bucket,
        Key=run.key(name),
        Body=text.encode(),
        ContentType=content_type,
    )
    return f"s3://{run.config.aws_bucket}/{run.key(name)}"


def forget(run: Run, name: str) -> None:
    """Delete an object of the run's record, if it exists."""
    run.aws.s3.delete_object(Bucket=run.config.aws_bucket, Key=run.key(name))


def load(run: Run) -> RunRecord | None:
    """The record of the run; None if it does not exist."""
    text = read(run, RUN)
    return None if text is None else RunRecord.model_validate_json(text)


def save(run: Run, record: RunRecord) -> RunRecord:
    """Write the record; returns it."""
    put(run, RUN, record.model_dump_json(indent=1))
    return record


def update(run: Run, **changes: Any) -> RunRecord:
    """Change fields of the record."""
    record = load(run)
    if record is None:
        raise _no_run(run.config, run.run_id)
    return save(run, record.model_copy(update=changes))


def begin(run: Run) -> RunRecord:
    """Write the record of a new run and make it the app's newest; keep an existing record.

    A run that has ended starts again under the same id: it sends its jobs again, since its queue is
    deleted. Workers skip the jobs that were done, and retry those that failed.

    Raises:
        InputError: Another run of the same app has not ended; the two would share a queue.
    """
    existing = load(run)
    if existing is not None:
        return _begin_again(run) if existing.state == "ended" else existing
    newest = latest_id(run.aws, run.config)
    other = newest and load(Run(run.config, newest, run.aws))
    if other and other.state == "active":
        raise InputError(
            Problem(
                f"app {run.names.app}",
                "app_name",
                f"its run {other.run_id} has not ended",
                remedy=f"Check it with `dcp status {run.names.app}`, clean it up with `dcp cleanup "
                f"{run.names.app}` (--abandon gives up its unfinished jobs), or give this run "
                "another app_name.",
            )
        )
    record = save(
        run,
        RunRecord(
            app_name=run.names.app,
            run_id=run.run_id,
            started_at=datetime.now(UTC),
            config=run.config.model_dump(mode="json", exclude=NOT_RECORDED),
        ),
    )
    run.aws.s3.put_object(
        Bucket=run.config.aws_bucket,
        Key=run.names.latest_key,
        Body=f'{{"run_id": "{run.run_id}"}}'.encode(),
        ContentType="application/json",
    )
    return record


def _begin_again(run: Run) -> RunRecord:
    bucket = run.config.aws_bucket
    pages = run.aws.s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=run.key(results("failed"))
    )
    for page in pages:
        failed: Any = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if failed:
            run.aws.s3.delete_objects(Bucket=bucket, Delete={"Objects": failed, "Quiet": True})
    note_submitted(run, 0)
    forget(run, MEMORY)
    forget(run, FINISH)
    return update(
        run,
        state="active",
        started_at=datetime.now(UTC),
        ended_at=None,
        continued_at=None,
        ended_before=0,
        continued_by="",
        note="",
    )


def latest_id(aws: Aws, config: RunConfig) -> str | None:
    """The id of the app's newest run; None if it has none."""
    text = read_object(aws, config.aws_bucket, config.names.latest_key)
    return None if text is None else newest_in(text)


def newest_in(text: str) -> str:
    """The run id in a `latest.json`."""
    return _Latest.model_validate_json(text).run_id


class _Latest(BaseModel):
    run_id: str


def find(aws: Aws, config: RunConfig, run_id: str | None) -> Run:
    """Find an existing run, with its recorded configuration.

    Args:
        aws: The clients.
        config: Names the app and the bucket; its credentials are used.
        run_id: The run; None for the app's newest.

    Raises:
        NotFound: The run does not exist.
    """
    found = run_id or latest_id(aws, config)
    run = Run(config, found or "", aws)
    record = load(run) if found else None
    if record is None:
        raise _no_run(config, run_id)
    return Run(recorded_config(record, config), record.run_id, aws)


def recorded_config(record: RunRecord, asking: RunConfig) -> RunConfig:
    """The recorded configuration of a run, with the credentials of another config."""
    return RunConfig(**record.settings, **{name: getattr(asking, name) for name in NOT_RECORDED})


def _no_run(config: RunConfig, run_id: str | None) -> NotFound:
    return NotFound(
        Problem(
            f"s3://{config.aws_bucket}/{config.names.record_prefix}",
            "run_id",
            f"app {config.app_name} has no run with this id" if run_id else "no run of this app",
            got=run_id or "",
            remedy="Check app_name and aws_bucket, or start a run with dcp-setup.",
        )
    )


def submitted(run: Run) -> int:
    """Number of jobs already sent to the queue, in the order of `jobs.jsonl`."""
    text = read(run, SUBMITTED)
    return 0 if text is None else int(json.loads(text)["submitted"])


def note_submitted(run: Run, jobs: int) -> None:
    """Record the number of jobs sent to the queue.

    In a separate object, since it is written often while other processes may change `run.json`.
    """
    put(run, SUBMITTED, json.dumps({"submitted": jobs}))


def job_lines(run: Run) -> Iterator[str]:
    """The job messages of the run, in order; they need not fit in memory."""
    return lines(run, JOBS)


def lines(run: Run, name: str) -> Iterator[str]:
    """The non-empty lines of an object of the run's record; they need not fit in memory."""
    rest = b""
    for block in _blocks(run, run.key(name)):
        *whole, rest = (rest + block).split(b"\n")
        yield from (line.decode() for line in whole if line)
    if rest:
        yield rest.decode()


def _blocks(run: Run, key: str) -> Iterator[bytes]:
    # One request per block: sending jobs is slow, and S3 may close a slowly read connection.
    start, size = 0, 1
    while start < size:
        try:
            found = run.aws.s3.get_object(
                Bucket=run.config.aws_bucket, Key=key, Range=f"bytes={start}-{start + BLOCK - 1}"
            )
        except ClientError as error:
            if error_code(error) == "InvalidRange":
                return  # an empty object: a plan without jobs
            raise
        block = found["Body"].read()
        size = int(found["ContentRange"].rpartition("/")[2])
        start += len(block)
        yield block
