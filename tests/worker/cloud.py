"""The tests' view of AWS, and a container of the worker in it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from dcp_worker.jobs import message
from waiting import wait_for

import plate
from task_definition import ENVIRONMENT

REGION = ENVIRONMENT["AWS_REGION"]
# Nothing listens at this address, so calls fail at once.
NOBODY = {
    "region_name": REGION,
    "endpoint_url": "http://127.0.0.1:1",
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
    "config": Config(retries={"total_max_attempts": 1}),
}
RUN = ENVIRONMENT["RUN_ID"]


@dataclass
class Cloud:
    """One app's resources in moto."""

    name: str
    queue_url: str
    dead_letter_url: str
    bucket: str
    s3: Any
    sqs: Any
    logs: Any

    @classmethod
    def make(cls, name: str, receives: int = 3) -> Cloud:
        """Create them; a message becomes a dead letter after `receives` receipts."""
        services = ("s3", "sqs", "logs")
        s3, sqs, logs = (boto3.client(service, region_name=REGION) for service in services)
        bucket = f"{name}.bucket"
        s3.create_bucket(Bucket=bucket)
        dead = sqs.create_queue(QueueName=f"{name}Dead")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
        redrive = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": receives})
        url = sqs.create_queue(
            QueueName=f"{name}Queue",
            Attributes={"VisibilityTimeout": "120", "RedrivePolicy": redrive},
        )["QueueUrl"]
        logs.create_log_group(logGroupName=name)
        return cls(name, url, dead, bucket, s3, sqs, logs)

    def environment(self, **changes: str) -> dict[str, str]:
        """The task definition's environment."""
        return {
            **ENVIRONMENT,
            "APP_NAME": self.name,
            "SQS_QUEUE_URL": self.queue_url,
            "SQS_DEAD_LETTER_QUEUE_URL": self.dead_letter_url,
            "AWS_BUCKET": self.bucket,
            "LOG_GROUP_NAME": self.name,
            **changes,
        }

    def put(self, objects: dict[str, bytes]) -> None:
        for key, content in objects.items():
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def put_plate(self) -> None:
        self.put(plate.objects())

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def text(self, key: str) -> str:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode()

    def work_off(self, *bodies: str) -> list[dict[str, Any]]:
        """Send messages to a running container; returns their records, in order, once all end."""
        ids = [message.parse(body, RUN).job_id for body in bodies]
        for body in bodies:
            self.send(body)

        def done() -> dict[str, Any] | None:
            records = {record["job_id"]: record for record in self.records()}
            return records if records.keys() >= set(ids) and self.empty() else None

        records = wait_for(done, f"{len(ids)} jobs to be done")
        return [records[job_id] for job_id in ids]

    def records(self, status: str = "") -> list[dict[str, Any]]:
        """The result records of the run, of one status or all."""
        prefix = f"dcp/{self.name}/{RUN}/results/{status}"
        return [json.loads(self.text(key)) for key in self.keys(prefix)]

    def counts(self, url: str | None = None) -> dict[str, int]:
        """Messages visible and in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=url or self.queue_url, AttributeNames=names)
        visible, hidden = (int(answer["Attributes"][name]) for name in names)
        return {"visible": visible, "in flight": hidden}

    def empty(self) -> bool:
        return not any(self.counts().values())

    def dead_letters(self) -> list[dict[str, Any]]:
        """Receive and delete all dead letters."""
        letters: list[dict[str, Any]] = []
        while True:
            batch = self.sqs.receive_message(
                QueueUrl=self.dead_letter_url,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if not batch:
                return letters
            letters += batch
            for letter in batch:
                self.sqs.delete_message(
                    QueueUrl=self.dead_letter_url, ReceiptHandle=letter["ReceiptHandle"]
                )

    def log_lines(self, stream: str) -> list[str]:
        try:
            events = self.logs.get_log_events(
                logGroupName=self.name, logStreamName=stream, startFromHead=True
            )["events"]
        except ClientError:
            return []
        return [event["message"] for event in events]


def job_message(**changes: Any) -> str:
    """A message for a well of the plate, in DCP's form."""
    return json.dumps(
        {
            "Metadata": "Metadata_Plate=P1,Metadata_Well=A01",
            "pipeline": plate.PIPELINE_KEY,
            "data_file": plate.CSV_KEY,
            "input": "",
            "output": plate.OUTPUT_KEY,
            "output_structure": "",
            **changes,
        }
    )


@dataclass
class Container:
    """The worker, run as by ECS: one process with the task definition's environment."""

    cloud: Cloud
    folder: Path
    mark: str = field(default_factory=lambda: os.urandom(8).hex())
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder.parent / "container.log"

    def start(self, **changes: str) -> None:
        self.folder.mkdir(exist_ok=True)
        inherited = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH",)
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dcp_worker"],
                cwd=self.folder,
                env={**inherited, **self.cloud.environment(**changes), "TEST_MARK": self.mark},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def processes(self) -> dict[int, str]:
        """Every living process of this container, by pid, with its command line."""
        commands = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
                words = (folder / "cmdline").read_bytes().decode().split("\0")
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if f"TEST_MARK={self.mark}".encode() in environment and state != "Z":
                commands[int(folder.name)] = " ".join(words)
        return commands

    def slots(self) -> list[int]:
        return [pid for pid, words in self.processes().items() if "dcp_worker.slot" in words]

    def cellprofilers(self) -> list[int]:
        """Processes that a slot has started: warm children or command lines, busy or idle."""
        # By their command lines: for a moment, a new process still has its parent's.
        programs = "dcp_worker.cellprofiler.warm_child", "bin/cellprofiler"
        commands = self.processes().items()
        return [pid for pid, words in commands if any(program in words for program in programs)]

    def computing(self) -> bool:
        """Whether CellProfiler is in the middle of a job: it has its measurements open."""
        # Folders may disappear meanwhile, which os.walk tolerates.
        names = (name for _, _, files in os.walk(self.folder) for name in files)
        return any(name.startswith("Cpmeasurements") for name in names)

    def kill(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def killed(self) -> bool:
        """Kill the remaining processes; returns whether there were none."""
        remaining = self.processes()
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not remaining

    def stop(self, limit: float = 40) -> int:
        """Send SIGTERM; returns the exit status."""
        assert self.process is not None
        self.kill(signal.SIGTERM)
        return self.process.wait(limit)

    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines of its attempts."""
        lines = [line for line in self.log.read_text().splitlines() if line[:1] == "{"]
        return [figures for figures in map(json.loads, lines) if "machine" not in figures]
