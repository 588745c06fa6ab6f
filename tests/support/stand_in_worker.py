"""A worker without CellProfiler: receives messages, waits a moment, writes an output and a record.

A group's metadata decides the result of its job: `fail` fails it (unless the name of the pipeline
contains `fixed`), `die` kills the container, `slow` takes some seconds, `hang` never ends. When the
run drains, it returns the messages it receives. For tests of everything except the worker. With
`MODE` in its environment, it receives no messages (`stand_in_idler.py`).
"""

import json
import os
import signal
import sys
import time
import urllib.request
from pathlib import Path

STAND_IN = Path(__file__)


def of_run(name: str) -> str:
    return f"dcp/{os.environ['APP_NAME']}/{os.environ['RUN_ID']}/{name}"


def protect(on: bool) -> None:
    body = json.dumps({"ProtectionEnabled": on, "ExpiresInMinutes": 5}).encode()
    url = f"{os.environ['ECS_AGENT_URI']}/task-protection/v1/state"
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method="PUT")
    with urllib.request.urlopen(request, timeout=10):
        pass


def write(s3, message: dict, status: str, reason: str = "") -> None:
    record = {
        "job_id": message["job_id"],
        "Metadata": message["Metadata"],
        "status": status,
        "reason": reason,
        "reason_text": f"the stand-in had to {reason}" if reason else "",
    }
    key = of_run(f"results/{status}/{message['job_id']}.json")
    s3.put_object(Bucket=os.environ["AWS_BUCKET"], Key=key, Body=json.dumps(record).encode())


def work(sqs, s3, received: dict) -> None:
    message = json.loads(received["Body"])
    values = [pair.split("=")[1] for pair in message["Metadata"].split(",")]
    if "die" in values:
        os.kill(os.getpid(), signal.SIGKILL)
    while "hang" in values:
        time.sleep(1)
    time.sleep(8 if "slow" in values else 0.2)
    if "fail" in values and "fixed" not in message["pipeline"]:
        write(s3, message, "failed", "fail")
    else:
        key = f"{message['output'].rstrip('/')}/{'-'.join(values)}/Image.csv"
        bucket = os.environ.get("DESTINATION_BUCKET") or os.environ["AWS_BUCKET"]
        s3.put_object(Bucket=bucket, Key=key, Body=b"ImageNumber\n1\n")
        write(s3, message, "succeeded")
    sqs.delete_message(
        QueueUrl=os.environ["SQS_QUEUE_URL"], ReceiptHandle=received["ReceiptHandle"]
    )


def finishing(s3) -> bool:
    found = s3.list_objects_v2(Bucket=os.environ["AWS_BUCKET"], Prefix=of_run("finish.json"))
    return found["KeyCount"] > 0


def give_back(sqs, received: dict) -> None:
    """Return a message like the worker: SQS cannot undo a receipt, so a copy replaces it."""
    queue = os.environ["SQS_QUEUE_URL"]
    sqs.send_message(QueueUrl=queue, MessageBody=received["Body"])
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=received["ReceiptHandle"])
    time.sleep(600)  # idle until it is stopped


def main() -> None:
    if "MODE" in os.environ:
        import stand_in_idler

        sys.exit(stand_in_idler.main())
    import boto3

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    region = os.environ["AWS_REGION"]
    sqs, s3 = boto3.client("sqs", region), boto3.client("s3", region)
    queue = os.environ["SQS_QUEUE_URL"]
    while True:
        answer = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=1)
        for received in answer.get("Messages", []):
            if finishing(s3):
                give_back(sqs, received)
            protect(True)
            work(sqs, s3, received)
            protect(False)


if __name__ == "__main__":
    main()
