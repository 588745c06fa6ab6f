"""Log exports, one at a time, into a bucket that allows them; names of deleted queues."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated_app import client_of
from waiting import wait_for

from deployments.local.bucket_folders import make_bucket
from deployments.local.emulator_client import Emulator, start_emulator

# One process: the fixtures are created once.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("log-exports")]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator with slow exports, which blocks the names of deleted queues."""
    folder = tmp_path_factory.mktemp("slow")
    with start_emulator(
        folder, Path(sys.executable), export_seconds=5, deleted_seconds=5
    ) as running:
        yield running


def export(emulator: Emulator, bucket: str, prefix: str = "exportedlogs/lab") -> Any:
    return client_of(emulator, "logs").create_export_task(
        logGroupName="lab",
        fromTime=0,
        to=4_000_000_000_000,
        destination=bucket,
        destinationPrefix=prefix,
    )["taskId"]


def test_exports_are_one_at_a_time_and_need_the_buckets_policy(slow: Emulator) -> None:
    logs, s3 = client_of(slow, "logs"), client_of(slow, "s3")
    logs.create_log_group(logGroupName="lab")
    logs.create_log_stream(logGroupName="lab", logStreamName="one")
    event = {"timestamp": 1_700_000_000_000, "message": "hello"}
    logs.put_log_events(logGroupName="lab", logStreamName="one", logEvents=[event])
    s3.create_bucket(Bucket="closed")
    with pytest.raises(ClientError, match="GetBucketAcl"):
        export(slow, "closed")
    make_bucket(s3, "open-bucket", "us-east-1")
    with pytest.raises(ClientError, match="PutObject"):
        export(slow, "open-bucket", "elsewhere")
    task = export(slow, "open-bucket")

    def code() -> str:
        status = logs.describe_export_tasks(taskId=task)["exportTasks"][0]["status"]["code"]
        return str(status)

    assert code() == "RUNNING"
    with pytest.raises(ClientError, match="LimitExceededException"):
        export(slow, "open-bucket")
    wait_for(lambda: code() == "COMPLETED", "export done")
    found = s3.list_objects_v2(Bucket="open-bucket")["Contents"]
    keys = [item["Key"] for item in found if item["Key"].startswith("exportedlogs/lab/")]
    assert [key.endswith("000000.gz") for key in keys] == [True]
    other = json.loads(s3.get_bucket_policy(Bucket="open-bucket")["Policy"])
    other["Statement"][0]["Principal"]["Service"] = "logs.eu-west-1.amazonaws.com"
    s3.put_bucket_policy(Bucket="open-bucket", Policy=json.dumps(other))
    with pytest.raises(ClientError, match="GetBucketAcl"):
        export(slow, "open-bucket")


def test_the_name_of_a_deleted_queue_is_blocked_for_a_time(slow: Emulator) -> None:
    sqs = client_of(slow, "sqs")
    sqs.delete_queue(QueueUrl=sqs.create_queue(QueueName="rests")["QueueUrl"])
    with pytest.raises(ClientError, match="QueueDeletedRecently"):
        sqs.create_queue(QueueName="rests")
    sqs.create_queue(QueueName="another")

    def made() -> bool:
        try:
            return bool(sqs.create_queue(QueueName="rests"))
        except ClientError:
            return False

    wait_for(made, "the name is free again")
