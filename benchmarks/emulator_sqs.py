"""Messages per second through the emulator's SQS, compared with moto's own.

`python benchmarks/emulator_sqs.py [--messages N]`: batches of 10 from one client over HTTP, with
rates for the whole queue and for its last tenth.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from deployments.local.emulator_client import start_emulator


def client(endpoint_url: str) -> Any:
    """Return an SQS client."""
    return boto3.client(
        "sqs",
        region_name="us-east-1",
        endpoint_url=endpoint_url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )


def measure(sqs: Any, messages: int) -> dict[str, float]:
    """Send messages in batches of 10, then receive and delete them; return rates per second."""
    url = sqs.create_queue(QueueName="benchmark")["QueueUrl"]
    body = json.dumps({"Metadata": "Metadata_Plate=P1,Metadata_Well=A01", "pipeline": "p.cppipe"})
    batch = [{"Id": str(number), "MessageBody": body} for number in range(10)]
    times = [time.perf_counter()]
    for _ in range(messages // 10):
        sqs.send_message_batch(QueueUrl=url, Entries=batch)
        times.append(time.perf_counter())
    tenth = max(1, len(times) // 10)
    start = time.perf_counter()
    received = 0
    while received < min(messages, 1000):
        messages_received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages", []
        )
        entries = [
            {"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]}
            for message in messages_received
        ]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        received += len(messages_received)
    return {
        "sent_per_second": messages / (times[-1] - times[0]),
        "sent_per_second_at_the_end": tenth * 10 / (times[-1] - times[-1 - tenth]),
        "received_and_deleted_per_second": received / (time.perf_counter() - start),
    }


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000)
    messages = parser.parse_args().messages
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with (
        tempfile.TemporaryDirectory() as root,
        start_emulator(Path(root), Path(sys.executable)) as emulator,
    ):
        show("emulator", measure(client(emulator.endpoint_url), messages))
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    show("moto", measure(client(f"http://{host}:{port}"), messages))
    server.stop()


def show(name: str, rates: dict[str, float]) -> None:
    """Print one line of rates."""
    print(name, {key: round(value) for key, value in rates.items()}, flush=True)


if __name__ == "__main__":
    main()
