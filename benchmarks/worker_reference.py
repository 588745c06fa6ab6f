"""The reference for the worker's benchmark: a poller as simple as Distributed-CellProfiler's.

For each message it downloads the inputs, runs CellProfiler's command line in a new process, sleeps
30 s so that all files are written, uploads them with another process, and deletes the message. It
ends with a poll that finds nothing. In its favour, this last poll, the start of its container and
the slow start of the AWS CLI are not counted.

    python worker_reference.py FOLDER BUCKET PREFIX    # the upload
"""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3

from blocks.job_file.s3_keys import MOUNT

SLEEP_SECONDS = 30
POLL_SECONDS = 20
# As in the worker: both must compute the same.
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def jobs_per_hour(
    sqs: Any, s3: Any, queue_url: str, bucket: str, cellprofiler: Path, folder: Path, jobs: int
) -> float:
    """Process this number of messages in turn; returns the rate from first receive to last delete.

    Args:
        sqs: Client.
        s3: Client.
        queue_url: Queue of the messages.
        bucket: Bucket of all objects.
        cellprofiler: Command line of CellProfiler.
        folder: Folder for local files.
        jobs: Number of messages to process.

    Raises:
        RuntimeError: CellProfiler or the upload failed, or no message arrived.
    """
    first = 0.0
    for _ in range(jobs):
        answer = sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=POLL_SECONDS)
        first = first or time.monotonic()
        if not answer.get("Messages"):
            raise RuntimeError("The reference found no message.")
        received = answer["Messages"][0]
        perform(s3, bucket, json.loads(received["Body"]), cellprofiler, folder)
        sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=received["ReceiptHandle"])
    return jobs * 3600 / (time.monotonic() - first)


def perform(
    s3: Any, bucket: str, message: dict[str, str], cellprofiler: Path, folder: Path
) -> None:
    """Run one job."""
    shutil.rmtree(folder, ignore_errors=True)
    output, done = folder / "output", folder / "done"
    output.mkdir(parents=True)
    pipeline = folder / "pipeline.cppipe"
    s3.download_file(bucket, message["pipeline"], str(pipeline))
    data_file = localize(s3, bucket, message, folder)
    words = [str(cellprofiler), "-c", "-r", "-p", str(pipeline), "-i", str(folder)]
    words += ["-o", str(output), "-d", str(done), f"--data-file={data_file}"]
    words += ["-g", message["Metadata"]]
    with (folder / "log").open("wb") as log:
        environment = {**os.environ, **ONE_THREAD}
        run = subprocess.run(
            words, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
        )
    if run.returncode or not done.read_text().startswith("Complete"):
        raise RuntimeError(f"The reference's CellProfiler failed: {folder / 'log'}")
    time.sleep(SLEEP_SECONDS)
    group = [pair.partition("=")[2] for pair in message["Metadata"].split(",")]
    prefix = f"{message['output']}/{'-'.join(group)}"
    subprocess.run([sys.executable, __file__, str(output), bucket, prefix], check=True)


def localize(s3: Any, bucket: str, message: dict[str, str], folder: Path) -> Path:
    """Download CSV and images of the message's group; returns the CSV with local paths."""
    text = s3.get_object(Bucket=bucket, Key=message["data_file"])["Body"].read().decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    group = dict(pair.split("=") for pair in message["Metadata"].split(","))
    for row in rows:
        wanted = group.items() <= row.items()
        for name in [name for name in row if name.startswith("PathName_")]:
            key_folder = row[name].removeprefix(f"{MOUNT}/")
            file = row[name.replace("PathName_", "FileName_")]
            row[name] = str(folder / key_folder)
            if wanted:
                Path(row[name]).mkdir(parents=True, exist_ok=True)
                s3.download_file(bucket, f"{key_folder}/{file}", f"{row[name]}/{file}")
    path = folder / "load_data.csv"
    with path.open("w", newline="") as target:
        writer = csv.DictWriter(target, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def upload(folder: Path, bucket: str, prefix: str) -> None:
    """Upload all files of a folder (runs in the subprocess)."""
    s3 = boto3.client("s3")
    for path in folder.rglob("*"):
        if path.is_file():
            s3.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(folder)}")


if __name__ == "__main__":
    upload(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
