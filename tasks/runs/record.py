"""The record of a run in S3: what any machine, at any later time, needs to take the run over.

It lies in `aws_bucket` below `dcp/<app_name>/<run_id>/`: the objects named here, and
`results/<status>/<job_id>.json`, written by the workers. `dcp/<app_name>/latest.json` names the
newest run.
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

# What of the configuration is not the run's own: who is asking, and from where.
NOT_RECORDED = {"aws_credentials", "aws_profile"}
RUN = "run.json"  # this module's `RunRecord`
JOBS = "jobs.jsonl"  # the plan, a job message a line (tasks/jobs/submission.py)
SUBMITTED = "submitted.json"  # how many of them are in the queue
MEMORY = "memory.json"  # what the monitor remembers from poll to poll (tasks/monitor/state.py)
FINISH = "finish.json"  # the order to the workers to start no new jobs (tasks/runs/drain.py)
MACHINES = "machines.json"  # which machines ran for how long (tasks/cost/machine_hours.py)
LOGS = "logs.json"  # where the logs were exported to (tasks/resources/log_groups.py)
REPORT = "report.json"  # the counts, and the jobs that did not succeed (tasks/report/build.py)
TABLE = "report.csv"  # a row a job (tasks/report/job_table.py)
BLOCK = 1024 * 1024  # bytes of `jobs.jsonl` that are read at a time


def results(status: str) -> str:
    """The part of a record that holds the result records of a status."""
    return f"results/{status}/"


def result(status: str, name: str) -> str:
    """The result record of a job: its part of the run's record."""
    return f"{results(status)}{name}.json"


class RunRecord(BaseModel):
    """What is kept of a run, but for its jobs and results.

    Attributes:
        state: `active` until its clean-up is complete.
        jobs: Number of jobs; None before they were submitted.
        plan: Digest of the jobs, by which another job file is told from the same one.
        fleet_id: The fleet, once requested.
        fleet_at: When it was requested: what AWS tells of earlier times is not about it.
        image_digest: The worker's image as the machines fetched it, once a container ran.
        continued_at: When it was continued last, after it had been stopped.
        continued_by: The flow run that did so.
        spent_before: What it had cost by then, in USD.
        ended_before: Jobs that had ended by then.
        note: Why the run ended before its jobs did.
        fleet: The fleet template it was begun with, as its fields.
        plates: The plates of its jobs, where they are known.
        retry_of: The run whose failed jobs these are; "" when it is no retry.
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
        """The run's configuration, without keys of another version of dcp."""
        known = RunConfig.model_fields
        return {name: value for name, value in self.config.items() if name in known}

    @property
    def started_ms(self) -> int:
        """When the run began, in milliseconds since 1970."""
        return int(self.started_at.timestamp() * 1000)

    @property
    def counts_from(self) -> datetime:
        """From when `max_hours` counts."""
        return self.continued_at or self.started_at


def read_object(aws: Aws, bucket: str, key: str) -> str | None:
    """The text of an object, or None when it is not there."""
    try:
        return aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def read(run: Run, name: str) -> str | None:
    """A part of the run's record, or None when it is not there."""
    return read_object(run.aws, run.config.aws_bucket, run.key(name))


def put(run: Run, name: str, text: str, content_type: str = "application/json") -> str:
    """Write a part of the run's record; returns its S3 address."""
    run.aws.s3.put_object(
        Bucket=run.config.aws_bucket,
        Key=run.key(name),
        Body=text.encode(),
        ContentType=content_type,
    )
    return f"s3://{run.config.aws_bucket}/{run.key(name)}"


def forget(run: Run, name: str) -> None:
    """Delete a part of the run's record; that it is not there is no error."""
    run.aws.s3.delete_object(Bucket=run.config.aws_bucket, Key=run.key(name))


def load(run: Run) -> RunRecord | None:
    """The record of the run, or None when there is none."""
    text = read(run, RUN)
    return None if text is None else RunRecord.model_validate_json(text)


def save(run: Run, record: RunRecord) -> RunRecord:
    """Write the record; returns it."""
    put(run, RUN, record.model_dump_json(indent=1))
    return record


def update(run: Run, **changes: Any) -> RunRecord:
    """Change some fields of the record."""
    record = load(run)
    if record is None:
        raise _no_run(run.config, run.run_id)
    return save(run, record.model_copy(update=changes))


def begin(run: Run) -> RunRecord:
    """Write the record of a new run and make it the app's newest; an existing record is kept.

    A run that has ended, and is begun again under its id, sends its jobs anew: its queue is gone.
    Those that were done are not done again by the workers; those that failed get another chance.

    Raises:
        InputError: Another run of the same app has not ended: the two would share a queue.
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
                remedy=f"Look at it (`dcp status {run.names.app}`), end it with `dcp cleanup "
                f"{run.names.app}` (--abandon gives its unfinished jobs up), or give this run "
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
    """The id of the app's newest run, or None when it never had one."""
    text = read_object(aws, config.aws_bucket, config.names.latest_key)
    return None if text is None else newest_in(text)


def newest_in(text: str) -> str:
    """The run that a `latest.json` names."""
    return _Latest.model_validate_json(text).run_id


class _Latest(BaseModel):
    run_id: str


def find(aws: Aws, config: RunConfig, run_id: str | None) -> Run:
    """A run that exists, with the configuration it was begun with.

    Args:
        aws: The clients.
        config: Names the app and the bucket; its credentials are used.
        run_id: The run; None for the app's newest.

    Raises:
        NotFound: There is no such run.
    """
    found = run_id or latest_id(aws, config)
    run = Run(config, found or "", aws)
    record = load(run) if found else None
    if record is None:
        raise _no_run(config, run_id)
    return Run(recorded_config(record, config), record.run_id, aws)


def recorded_config(record: RunRecord, asking: RunConfig) -> RunConfig:
    """The configuration that a run was begun with, and the credentials of who asks."""
    return RunConfig(**record.settings, **{name: getattr(asking, name) for name in NOT_RECORDED})


def _no_run(config: RunConfig, run_id: str | None) -> NotFound:
    return NotFound(
        Problem(
            f"s3://{config.aws_bucket}/{config.names.record_prefix}",
            "run_id",
            f"app {config.app_name} has no run of this id" if run_id else "no run of this app",
            got=run_id or "",
            remedy="Look at app_name and aws_bucket, or begin a run with dcp-setup.",
        )
    )


def submitted(run: Run) -> int:
    """How many of the run's jobs, in the order of `jobs.jsonl`, are known to be in the queue."""
    text = read(run, SUBMITTED)
    return 0 if text is None else int(json.loads(text)["submitted"])


def note_submitted(run: Run, jobs: int) -> None:
    """Note how many jobs are in the queue.

    In an object of its own: it is written many times, while others may change `run.json`.
    """
    put(run, SUBMITTED, json.dumps({"submitted": jobs}))


def job_lines(run: Run) -> Iterator[str]:
    """The job messages of the run, in their order, however many there are."""
    return lines(run, JOBS)


def lines(run: Run, name: str) -> Iterator[str]:
    """The lines of a part of the run's record, without empty ones, however many there are."""
    rest = b""
    for block in _blocks(run, run.key(name)):
        *whole, rest = (rest + block).split(b"\n")
        yield from (line.decode() for line in whole if line)
    if rest:
        yield rest.decode()


def _blocks(run: Run, key: str) -> Iterator[bytes]:
    # A request a block: S3 may close a connection that is read as slowly as jobs are sent.
    start, size = 0, 1
    while start < size:
        try:
            found = run.aws.s3.get_object(
                Bucket=run.config.aws_bucket, Key=key, Range=f"bytes={start}-{start + BLOCK - 1}"
            )
        except ClientError as error:
            if error_code(error) == "InvalidRange":
                return  # no byte at all: a plan without jobs
            raise
        block = found["Body"].read()
        size = int(found["ContentRange"].rpartition("/")[2])
        start += len(block)
        yield block
