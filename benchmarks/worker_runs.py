"""Runs of the worker for the benchmark: AWS on this computer, a container, batches of jobs.

The benchmark uses only the worker's environment, queue, S3 and processes. AWS is moto's server in
this process; a long poll costs it 0.3 % of a core, a job about 30 ms.
"""

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import worker_plate
from moto.server import ThreadedMotoServer
from worker_memory import sampled
from worker_plate import BenchmarkJob

from blocks import RunConfig
from tasks.aws.clients import Aws as Clients
from tasks.resources.ecs import worker_environment
from tasks.runs.run import Run

REGION = "us-east-1"
APP = "benchmark"
RUN = "20240131T120000Z-benchmark"
WORKER_PYTHON = Path(__file__).resolve().parents[1] / ".venv-worker" / "bin" / "python"
_STOP_SECONDS = 60
_LOOK_SECONDS = 2.0
# Characters of a log to show with a failure.
_SHOWN = 3000


@dataclass(frozen=True)
class SucceededJob:
    """A succeeded job. Durations in seconds, times in seconds since the epoch.

    Attributes:
        data_file: Key of its CSV.
        arithmetic: Sum of the ExecutionTime_ columns of its Image.csv: CPU seconds of
            CellProfiler's process while modules ran. It excludes loading the pipeline and the CSV,
            preparing and closing the measurements, and writing the spreadsheets.
        received: When its message was received.
        ended: When its outputs were confirmed, just before its record was written.
        seconds: Seconds of its phases, from its record.
    """

    data_file: str
    arithmetic: float
    received: float
    ended: float
    seconds: dict[str, float]


@dataclass(frozen=True)
class Batch:
    """Jobs that were sent together and succeeded, in the order of completion."""

    jobs: Sequence[SucceededJob]
    slot_mb: float
    supervisor_mb: float

    @property
    def wall(self) -> float:
        """Seconds from the first receive to the last record."""
        return self.jobs[-1].ended - min(job.received for job in self.jobs)

    @property
    def arithmetic(self) -> float:
        """Seconds of CellProfiler's modules."""
        return sum(job.arithmetic for job in self.jobs)

    @property
    def per_hour(self) -> float:
        """Jobs per hour."""
        return len(self.jobs) * 3600 / self.wall

    def intervals(self) -> list[tuple[str, float]]:
        """The CSV of each job, and the seconds since the previous end (or the first receive)."""
        starts = [min(job.received for job in self.jobs), *(job.ended for job in self.jobs)]
        return [
            (job.data_file, job.ended - start)
            for start, job in zip(starts, self.jobs, strict=False)
        ]


@dataclass
class BenchmarkAws:
    """The AWS resources of an app."""

    bucket: str
    queue_url: str
    dead_letter_url: str
    s3: Any
    sqs: Any

    @classmethod
    def make(cls) -> "BenchmarkAws":
        """Create them."""
        s3, sqs = boto3.client("s3"), boto3.client("sqs")
        s3.create_bucket(Bucket=f"{APP}-bucket")
        dead = sqs.create_queue(QueueName=f"{APP}Dead")["QueueUrl"]
        url = sqs.create_queue(QueueName=f"{APP}Queue")["QueueUrl"]
        boto3.client("logs").create_log_group(logGroupName=APP)
        s3.put_object(
            Bucket=f"{APP}-bucket", Key=worker_plate.PIPELINE, Body=worker_plate.pipeline()
        )
        return cls(f"{APP}-bucket", url, dead, s3, sqs)

    def environment(self, slots: int) -> dict[str, str]:
        """The environment of the container, as in the task definition."""
        config = RunConfig(
            app_name=APP,
            dockerhub_tag="none",
            aws_region=REGION,
            aws_bucket=self.bucket,
            sqs_message_visibility=600,
            docker_cores=slots,
            seconds_to_start=0,
        )
        run = Run(config, RUN, Clients.connect(config.credentials, REGION))
        return worker_environment(run, self.queue_url, self.dead_letter_url)

    def text(self, key: str) -> str:
        """The content of an object."""
        text: str = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode()
        return text

    def send(self, jobs: Sequence[BenchmarkJob]) -> float:
        """Send messages; returns the time (epoch) before the first one."""
        started = time.time()
        for job in jobs:
            self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=job.message)
        return started

    def records(self, status: str) -> set[str]:
        """Ids of the jobs that have a record with this status."""
        prefix = f"dcp/{APP}/{RUN}/results/{status}/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key.removeprefix(prefix).removesuffix(".json") for key in keys}

    def done(self, job: BenchmarkJob, sent: float) -> SucceededJob:
        """The measurements of a job, from its record and outputs."""
        record = json.loads(self.text(f"dcp/{APP}/{RUN}/results/succeeded/{job.job_id}.json"))
        rows = csv.DictReader(io.StringIO(self.text(f"{job.output}Image.csv")))
        times = (row[name] for row in rows for name in row if name.startswith("ExecutionTime_"))
        return SucceededJob(
            data_file=job.data_file,
            arithmetic=sum(map(float, times)),
            received=sent + record["seconds"]["wait"],
            ended=datetime.fromisoformat(record["ended_at"]).timestamp(),
            seconds=record["seconds"],
        )


@contextlib.contextmanager
def aws() -> Iterator[BenchmarkAws]:
    """AWS on this computer; sets this process's environment variables."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_ACCESS_KEY_ID="benchmark",
        AWS_SECRET_ACCESS_KEY="benchmark",
        AWS_DEFAULT_REGION=REGION,
        AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:1/",
    )
    try:
        yield BenchmarkAws.make()
    finally:
        server.stop()


@dataclass
class WorkerContainer:
    """A running container of the worker."""

    aws: BenchmarkAws
    process: subprocess.Popen[bytes]
    log: Path

    def run(self, jobs: Sequence[BenchmarkJob], limit: float = 600) -> Batch:
        """Send jobs and wait until all have succeeded, at most `limit` seconds.

        Raises:
            RuntimeError: A job failed, the container ended, or the limit was reached.
        """
        ids = {job.job_id for job in jobs}
        end = time.monotonic() + limit
        with sampled(self.process.pid) as memory:
            sent = self.aws.send(jobs)
            while not self.aws.records("succeeded") >= ids:
                failed = self.aws.records("failed") & ids
                if failed or self.process.poll() is not None or time.monotonic() > end:
                    text = self.log.read_text(errors="replace")[-_SHOWN:]
                    raise RuntimeError(f"{len(failed)} jobs failed. The container's log: {text}")
                time.sleep(_LOOK_SECONDS)
        done = sorted(
            (self.aws.done(job, sent) for job in jobs), key=lambda job_done: job_done.ended
        )
        return Batch(done, memory.slot_mb, memory.supervisor_mb)


@contextlib.contextmanager
def container(cloud: BenchmarkAws, folder: Path, slots: int) -> Iterator[WorkerContainer]:
    """Start a container; at the end, stop it like ECS."""
    folder.mkdir()
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(WORKER_PYTHON), "-m", "dcp_worker"],
            cwd=folder,
            env={**os.environ, **cloud.environment(slots)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield WorkerContainer(cloud, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()  # its slots end with it
            process.wait()
